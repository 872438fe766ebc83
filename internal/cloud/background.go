package cloud

import "context"

type (
	backgroundKey struct{}
	tenantKey     struct{}
)

// Background marks the calls made under a context as ones that nobody is waiting for, such as looks for drift: where an account's rate
// is short, what people have asked for goes first.
func Background(ctx context.Context) context.Context {
	return context.WithValue(ctx, backgroundKey{}, true)
}

// IsBackground tells whether a context is marked by Background.
func IsBackground(ctx context.Context) bool {
	return ctx.Value(backgroundKey{}) != nil
}

// ForTenant marks the calls made under a context as ones for a tenant, a namespace: those who share
// an account whose rate is short take turns.
func ForTenant(ctx context.Context, tenant string) context.Context {
	return context.WithValue(ctx, tenantKey{}, tenant)
}

// TenantOf returns the tenant that a context is marked with by ForTenant, or "".
func TenantOf(ctx context.Context) string {
	tenant, _ := ctx.Value(tenantKey{}).(string)
	return tenant
}
