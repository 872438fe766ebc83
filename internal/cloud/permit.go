package cloud

import (
	"context"
	"slices"
	"strings"
)

type permitKey struct{}

// WithPermit returns a context under which each call that changes something asks permit for leave,
// after it has waited for the account's rate limit and right before it is sent. An error of permit
// keeps the call from being sent and is returned as it is.
func WithPermit(ctx context.Context, permit func(context.Context) error) context.Context {
	return context.WithValue(ctx, permitKey{}, permit)
}

// WithoutPermit returns a context under which calls ask nobody. It is for the second half of a
// change that must not stay half done.
func WithoutPermit(ctx context.Context) context.Context {
	return WithPermit(ctx, nil)
}

// Permit asks for leave to send a call. action is the operation's name, such as GetRoleAcl or
// GRANT.
func Permit(ctx context.Context, action string) error {
	permit, ok := ctx.Value(permitKey{}).(func(context.Context) error)
	if !ok || permit == nil || isRead(action) {
		return nil
	}
	return permit(ctx)
}

// isRead reports whether an operation changes nothing that an object manages. One whose name says
// nothing of the kind counts as a write.
func isRead(action string) bool {
	return slices.ContainsFunc([]string{"get", "list", "show", "poll", "assumerole", "keystone"}, func(prefix string) bool {
		return strings.HasPrefix(strings.ToLower(action), prefix)
	})
}
