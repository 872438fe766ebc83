package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
	"github.com/maxcompute-operator/maxcompute-operator/test/testbed"
)

// busyExports are more than run at a time.
const busyExports = 8

// exportNeighbours measures how long a tenant waits for an export while another tenant's exports
// get no answer.
func (b *bench) exportNeighbours(ctx context.Context) error {
	const quiet, busy = "quietexports", "busyexports"
	if err := b.start(usualInterval, "--watch-namespaces="+quiet+","+busy); err != nil {
		return err
	}
	defer b.Manager.Stop()
	if err := errors.Join(b.exporter(ctx, quiet), b.exporter(ctx, busy)); err != nil {
		return err
	}
	alone, err := b.exportAll(ctx, quiet, "alone")
	if err != nil {
		return err
	}
	b.Cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultTimeout, Service: "insight", AccessKeyID: "corp/" + busy})
	b.Cloud.ResetJournal()
	err = each(ctx, 0, busyExports, func(ctx context.Context, i int) error { return b.Kube.Create(ctx, newExport(busy, strconv.Itoa(i))) })
	if err != nil {
		return err
	}
	if err := testbed.Until(ctx, time.Minute, func() (bool, error) { return b.Cloud.Count("ExportResourcePackage") > 0, nil }); err != nil {
		return fmt.Errorf("the neighbour's exports: %w", err)
	}
	beside, err := b.exportAll(ctx, quiet, "beside")
	b.Cloud.ClearFaults()
	fmt.Printf("\nanother account, %d exports, no call is answered\n", busyExports)
	compare("exported", alone, beside)
	return err
}

// exporter connects a namespace with a workspace of its own, in which there is one dashboard.
func (b *bench) exporter(ctx context.Context, namespace string) error {
	key := "FAKE" + namespace
	err := errors.Join(
		b.Cloud.AddIAMProject(fakecloud.IAMProject{ID: namespace, Name: namespace}),
		b.Cloud.AddIAMUser(fakecloud.IAMUser{Domain: "corp", Name: namespace, Password: "fake-password"}),
		b.Cloud.AddIAMKey(fakecloud.IAMKey{AccessKeyID: key, SecretAccessKey: "fake-secret", User: "corp/" + namespace}),
		b.Cloud.AddInsightWorkspace(fakecloud.InsightWorkspace{Project: namespace, ID: "space"}),
		b.Cloud.AddInsightResource(fakecloud.InsightResource{Project: namespace, Workspace: "space", Type: "dashboard", ID: "d1", Size: 1 << 10}),
	)
	if err != nil {
		return err
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "huawei"}, StringData: map[string]string{"accessKey": key, "secretKey": "fake-secret"},
	}
	return b.ConnectWith(ctx, secret, &v1alpha1.Connection{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "insight"},
		Spec: v1alpha1.ConnectionSpec{HuaweiCloud: &v1alpha1.HuaweiCloudConnection{
			Region: "cn-southwest-2", ProjectID: namespace,
			Endpoints:   &v1alpha1.HuaweiCloudEndpoints{DataArtsInsight: b.CloudURL, IAM: b.CloudURL},
			Credentials: v1alpha1.HuaweiCloudCredentials{SecretRef: v1alpha1.SecretReference{Name: secret.Name}},
		}},
	})
}

// newExport makes an export of the dashboard to a directory.
func newExport(namespace, name string) *v1alpha1.ResourcePackageExport {
	return &v1alpha1.ResourcePackageExport{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "export-" + name},
		Spec: v1alpha1.ResourcePackageExportSpec{
			ConnectionRef: v1alpha1.ConnectionReference{Name: "insight"}, WorkspaceID: "space", PackageName: "boards",
			Resources:   []v1alpha1.ExportedResource{{Type: "dashboard", ID: "d1"}},
			Destination: v1alpha1.ExportDestination{Directory: &v1alpha1.DirectoryDestination{Path: name}},
		},
	}
}

// exportAll creates exports and returns how long the slowest took, or nothing if the measurement
// gave up.
func (b *bench) exportAll(ctx context.Context, namespace, when string) (time.Duration, error) {
	started, exports := time.Now(), make([]*v1alpha1.ResourcePackageExport, samples)
	for i := range exports {
		exports[i] = newExport(namespace, when+strconv.Itoa(i))
		if err := b.Kube.Create(ctx, exports[i]); err != nil {
			return 0, err
		}
	}
	err := testbed.Until(ctx, longest, func() (bool, error) {
		done := true
		for _, export := range exports {
			if err := b.Kube.Get(ctx, client.ObjectKeyFromObject(export), export); err != nil {
				return false, err
			}
			done = done && conditions.IsReady(export)
		}
		return done, nil
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return 0, ctx.Err()
	}
	return time.Since(started), err
}
