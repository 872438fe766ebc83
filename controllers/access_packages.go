package controllers

import (
	"context"

	"github.com/maxcompute-operator/maxcompute-operator/internal/access"
	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/maxcompute"
)

// ReadPackages reads the packages that the project shares, and those of other projects that are installed in it.
func (r *Reading) ReadPackages(ctx context.Context, created, installed bool) error {
	if !created && !installed {
		return nil
	}
	packages, err := r.account.MaxCompute.ListPackages(ctx, r.Name)
	if err != nil {
		r.Problems = append(r.Problems, r.account.Noticed(err))
		return ctx.Err()
	}
	if !created {
		packages.Created = nil
	}
	if !installed {
		packages.Installed = nil
	}
	n := len(packages.Created)
	contents, errs := make([]maxcompute.Package, n+len(packages.Installed)), make([]error, n+len(packages.Installed))
	err = r.each(ctx, "packages", len(contents), func(i int) error {
		if i < n {
			contents[i], errs[i] = r.account.MaxCompute.GetPackage(ctx, r.Name, packages.Created[i].Name)
		} else {
			from := packages.Installed[i-n]
			contents[i], errs[i] = r.account.MaxCompute.GetInstalledPackage(ctx, r.Name, from.SourceProject, from.Name)
		}
		return errs[i]
	})
	if err != nil {
		return err
	}
	for i, err := range errs {
		switch {
		case err != nil:
			r.Problems = append(r.Problems, r.account.Noticed(err))
		case i < n:
			r.Created = append(r.Created, access.Created{Name: packages.Created[i].Name, Contents: contents[i].Resources, Shares: sharingOf(contents[i].Allowed)})
		default:
			from := packages.Installed[i-n]
			r.Installed = append(r.Installed, access.Installed{SourceProject: from.SourceProject, Name: from.Name, Contents: contents[i].Resources})
		}
	}
	return nil
}

func sharingOf(allowed []maxcompute.AllowedProject) acl.Sharing {
	shares := make([]acl.Share, 0, len(allowed))
	for _, project := range allowed {
		shares = append(shares, acl.Share{Project: project.Project, Label: project.Label})
	}
	return acl.NewSharing(shares...)
}
