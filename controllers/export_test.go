package controllers

import (
	"context"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// NewRoleController returns the controller of ProjectRoles as SetupProjectRole makes it, but without
// a manager and what it watches.
func NewRoleController(ctx context.Context, reader client.Reader, options Options, r reconcile.Reconciler) (controller.Controller, error) {
	o := options.controller(logr.Discard(), options.placeOf(ctx, reader, projectRoles))
	o.Reconciler, o.SkipNameValidation = fair(r), new(true)
	o.LogConstructor = func(*reconcile.Request) logr.Logger { return logr.Discard() }
	return controller.NewTypedUnmanaged("projectrole", o)
}
