// Package v1alpha1 is the API that users write manifests against: group maxcompute-operator.io, version v1alpha1.
// +kubebuilder:object:generate=true
// +groupName=maxcompute-operator.io
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion of every kind in this package.
var GroupVersion = schema.GroupVersion{Group: "maxcompute-operator.io", Version: "v1alpha1"}

// AddToScheme registers the kinds of this package.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&Connection{}, &ConnectionList{},
		&ClusterConnection{}, &ClusterConnectionList{},
		&ProjectRole{}, &ProjectRoleList{},
		&MaxComputePackage{}, &MaxComputePackageList{},
		&PackageInstallation{}, &PackageInstallationList{},
		&PermissionApply{}, &PermissionApplyList{},
		&ResourcePackageExport{}, &ResourcePackageExportList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
