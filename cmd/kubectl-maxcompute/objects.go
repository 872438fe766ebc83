package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
)

// named are the kinds that can be named on the command line, by all that kubectl calls them.
var named = []struct {
	kind  string
	words []string
	make  func() client.Object
	list  func() client.ObjectList
}{
	{"ProjectRole", []string{"projectrole", "projectroles", "mcrole"}, func() client.Object { return &v1alpha1.ProjectRole{} }, func() client.ObjectList { return &v1alpha1.ProjectRoleList{} }},
	{"MaxComputePackage", []string{"maxcomputepackage", "maxcomputepackages", "mcpkg"}, func() client.Object { return &v1alpha1.MaxComputePackage{} }, func() client.ObjectList { return &v1alpha1.MaxComputePackageList{} }},
	{"PackageInstallation", []string{"packageinstallation", "packageinstallations", "mcpi"}, func() client.Object { return &v1alpha1.PackageInstallation{} }, func() client.ObjectList { return &v1alpha1.PackageInstallationList{} }},
	{"PermissionApply", []string{"permissionapply", "permissionapplies", "mcapply"}, func() client.Object { return &v1alpha1.PermissionApply{} }, func() client.ObjectList { return &v1alpha1.PermissionApplyList{} }},
	{"ResourcePackageExport", []string{"resourcepackageexport", "resourcepackageexports", "rpexport"}, func() client.Object { return &v1alpha1.ResourcePackageExport{} }, func() client.ObjectList { return &v1alpha1.ResourcePackageExportList{} }},
	{"Connection", []string{"connection", "connections", "mcconn"}, func() client.Object { return &v1alpha1.Connection{} }, func() client.ObjectList { return &v1alpha1.ConnectionList{} }},
	{"ClusterConnection", []string{"clusterconnection", "clusterconnections", "mcclusterconn"}, func() client.Object { return &v1alpha1.ClusterConnection{} }, func() client.ObjectList { return &v1alpha1.ClusterConnectionList{} }},
}

// findAll gets objects by what they are called on the command line.
func findAll(ctx context.Context, reader client.Reader, namespace string, names []string) ([]manifest, error) {
	var found []manifest
	for _, text := range names {
		m, err := find(ctx, reader, namespace, text)
		if err != nil {
			return nil, err
		}
		found = append(found, m)
	}
	return found, nil
}

// find gets the object that is called KIND/NAME, or just NAME if that is clear.
func find(ctx context.Context, reader client.Reader, namespace, text string) (manifest, error) {
	word, name := splitName(text)
	word, _, _ = strings.Cut(strings.ToLower(word), ".")
	var found []manifest
	var denied error
	known := false
	for _, k := range named {
		if word != "" && !slices.Contains(k.words, word) {
			continue
		}
		known = true
		obj, key := k.make(), client.ObjectKey{Namespace: namespace, Name: name}
		if k.kind == "ClusterConnection" {
			key.Namespace = ""
		}
		switch err := reader.Get(ctx, key, obj); {
		case err == nil:
			found = append(found, manifest{Object: obj, kind: k.kind})
		case apierrors.IsForbidden(err):
			// Of a kind that somebody may not see, nothing is of that name to them.
			denied = fmt.Errorf("get %s %s: %w", k.kind, name, err)
		case !apierrors.IsNotFound(err):
			return manifest{}, fmt.Errorf("get %s %s: %w", k.kind, name, err)
		}
	}
	switch {
	case len(found) == 0 && denied != nil && word != "":
		return manifest{}, denied
	case !known:
		return manifest{}, fmt.Errorf("%q is none of the operator's kinds", word)
	case len(found) == 0:
		return manifest{}, fmt.Errorf("there is no %s in namespace %s", text, namespace)
	case len(found) > 1:
		return manifest{}, fmt.Errorf("%s is the name of a %s and of a %s: write KIND/%s", name, found[0].kind, found[1].kind, name)
	}
	return found[0], nil
}

// overlay makes of a manifest the object that there would be if it were applied over the live one.
func overlay(live, applied client.Object) error {
	was, becomes := reflect.ValueOf(live).Elem(), reflect.ValueOf(applied).Elem()
	status, spec := becomes.FieldByName("Status"), becomes.FieldByName("Spec")
	if !status.IsValid() || !spec.IsValid() {
		return errors.New("the object has no spec and status")
	}
	status.Set(was.FieldByName("Status"))
	generation := live.GetGeneration()
	if !apiequality.Semantic.DeepEqual(was.FieldByName("Spec").Interface(), spec.Interface()) {
		generation++
	}
	annotations := live.GetAnnotations()
	for name, value := range applied.GetAnnotations() {
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[name] = value
	}
	applied.SetAnnotations(annotations)
	applied.SetUID(live.GetUID())
	applied.SetCreationTimestamp(live.GetCreationTimestamp())
	applied.SetDeletionTimestamp(live.GetDeletionTimestamp())
	applied.SetFinalizers(live.GetFinalizers())
	applied.SetResourceVersion(live.GetResourceVersion())
	applied.SetGeneration(generation)
	return nil
}

// The environment that holds the key where there is no cluster.
var keyVariables = map[string]string{ //nolint:gosec // names, not values
	"accessKeyId":     "ALIBABA_CLOUD_ACCESS_KEY_ID",
	"accessKeySecret": "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
	"securityToken":   "ALIBABA_CLOUD_SECURITY_TOKEN",
}

// secrets reads Secrets from the cluster or, where there is none, takes every Secret for one with the key of the environment.
type secrets struct{ cluster client.Reader }

// Get implements client.Reader.
func (s secrets) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	if s.cluster != nil {
		err := s.cluster.Get(ctx, key, obj, opts...)
		if apierrors.IsForbidden(err) {
			// To the resolver it would be the operator that may not.
			return fmt.Errorf("you may not read Secret %s in namespace %s", key.Name, key.Namespace)
		}
		return err
	}
	secret, ok := obj.(*corev1.Secret)
	if !ok {
		return fmt.Errorf("a %T is not in the environment", obj)
	}
	secret.Data = map[string][]byte{}
	for name, variable := range keyVariables {
		value := os.Getenv(variable)
		if value == "" && name != "securityToken" {
			return errors.New("without a cluster, the key is in " + keyVariables["accessKeyId"] + " and " + keyVariables["accessKeySecret"] + ": set both")
		}
		secret.Data[name] = []byte(value)
	}
	return nil
}

// List implements client.Reader. Secrets are never listed.
func (secrets) List(context.Context, client.ObjectList, ...client.ListOption) error {
	return errors.New("secrets are not listed")
}
