package cloud

import "context"

type backgroundKey struct{}

// Background marks the calls made under a context as ones that nobody is waiting for, such as looks for drift: where an account's rate
// is short, what people have asked for goes first.
func Background(ctx context.Context) context.Context {
	return context.WithValue(ctx, backgroundKey{}, true)
}

// IsBackground tells whether a context is marked by Background.
func IsBackground(ctx context.Context) bool {
	return ctx.Value(backgroundKey{}) != nil
}
