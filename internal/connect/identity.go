package connect

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
)

// identity is whom a connection means, and where.
type identity interface {
	// key is the same for connections that mean the same in every respect. It says nothing of the secrets that it is made from.
	key() string
	// account makes the account of the identity. The Resolver's lock is held.
	account(r *Resolver, limits rateLimits) (*Account, error)
}

// identify reads a connection's spec and its Secret.
func (r *Resolver) identify(ctx context.Context, connection Connection) (identity, error) {
	spec := connection.GetConnectionSpec()
	switch {
	case (spec.AlibabaCloud == nil) == (spec.HuaweiCloud == nil):
		return nil, conditions.Stall(v1alpha1.ReasonInvalidSpec, "exactly one of alibabaCloud and huaweiCloud is required")
	case spec.HuaweiCloud != nil:
		return r.identifyHuawei(ctx, connection, spec.HuaweiCloud)
	}
	return r.identifyAlibaba(ctx, connection, spec.AlibabaCloud)
}

// namespaceOf is where a Secret or service account is: with a Connection, always in its own namespace, whatever the spec says, or its
// author could use those of others.
func namespaceOf(connection Connection, given string) (string, error) {
	switch {
	case !connection.IsCluster():
		return connection.GetNamespace(), nil
	case given == "":
		return "", conditions.Stall(v1alpha1.ReasonInvalidSpec, "a ClusterConnection must name the namespace of its Secret or service account")
	}
	return given, nil
}

func digest(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:])
}
