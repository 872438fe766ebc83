package main

import (
	"bytes"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
)

func kubeWith(t *testing.T, objects ...client.Object) client.Client {
	t.Helper()
	s, err := scheme()
	if err != nil {
		t.Fatal(err)
	}
	return fake.NewClientBuilder().WithScheme(s).WithObjects(objects...).Build()
}

func TestStatus(t *testing.T) {
	ago := metav1.NewTime(time.Now().Add(-3*time.Hour - time.Minute))
	meta := func(namespace, name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: namespace, Name: name, CreationTimestamp: ago}
	}
	ready := func(status metav1.ConditionStatus, reason string) v1alpha1.SyncStatus {
		return v1alpha1.SyncStatus{Conditions: []metav1.Condition{{Type: v1alpha1.ReadyCondition, Status: status, Reason: reason, LastTransitionTime: ago}}}
	}
	until := metav1.NewTime(time.Date(2027, 3, 31, 12, 0, 0, 0, time.UTC))
	role := func(name string, change func(*v1alpha1.ProjectRole)) *v1alpha1.ProjectRole {
		r := &v1alpha1.ProjectRole{ObjectMeta: meta("team", name), Spec: v1alpha1.ProjectRoleSpec{ProjectName: "p", RoleName: name}}
		r.Status.SyncStatus = ready(metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
		change(r)
		return r
	}
	apply := &v1alpha1.PermissionApply{ObjectMeta: meta("other", "report")}
	apply.Status = v1alpha1.PermissionApplyStatus{SyncStatus: ready(metav1.ConditionTrue, v1alpha1.ReasonGranted), State: v1alpha1.RequestGranted, GrantedUntil: &until}
	export := &v1alpha1.ResourcePackageExport{ObjectMeta: meta("other", "boards")}
	export.Status = v1alpha1.ResourcePackageExportStatus{SyncStatus: ready(metav1.ConditionTrue, v1alpha1.ReasonSucceeded), NextScheduleTime: &until}
	kube := kubeWith(t,
		role("reader", func(*v1alpha1.ProjectRole) {}),
		role("drifted", func(r *v1alpha1.ProjectRole) { r.Status.DriftCount = 3 }),
		role("paused", func(r *v1alpha1.ProjectRole) { r.Spec.Suspend = true }),
		role("new", func(r *v1alpha1.ProjectRole) { r.Status = v1alpha1.ProjectRoleStatus{} }),
		role("held", func(r *v1alpha1.ProjectRole) {
			r.Status.SyncStatus = ready(metav1.ConditionFalse, v1alpha1.ReasonRevokeLimitExceeded)
			r.Status.PendingPlan, r.Status.DriftCount = &v1alpha1.PendingPlan{Hash: "1a2b", Grants: 1, Revokes: 60}, 61
		}),
		apply, export, &v1alpha1.ClusterConnection{ObjectMeta: meta("", "shared")},
	)
	tests := map[string]struct{ namespace, want string }{
		"one namespace": {"team", `OBJECT                TARGET                    READY   REASON                SINCE   NOTE
projectrole/drifted   role drifted in project p   True    Succeeded             3h1m    drift 3
projectrole/held      role held in project p      False   RevokeLimitExceeded   3h1m    plan 1a2b waits for approval: grants 1, revokes 60
projectrole/new       role new in project p       -       -                     3h1m
projectrole/paused    role paused in project p    True    Succeeded             3h1m    suspended
projectrole/reader    role reader in project p    True    Succeeded             3h1m
`},
		"all namespaces": {"", `NAMESPACE   OBJECT                         TARGET                      READY   REASON                SINCE   NOTE
-           clusterconnection/shared       -                           -       -                     3h1m
other       permissionapply/report         -                           True    Granted               3h1m    ends 2027-03-31 12:00Z
other       resourcepackageexport/boards   -                           True    Succeeded             3h1m    next export 2027-03-31 12:00Z
team        projectrole/drifted            role drifted in project p   True    Succeeded             3h1m    drift 3
team        projectrole/held               role held in project p      False   RevokeLimitExceeded   3h1m    plan 1a2b waits for approval: grants 1, revokes 60
team        projectrole/new                role new in project p       -       -                     3h1m
team        projectrole/paused             role paused in project p    True    Succeeded             3h1m    suspended
team        projectrole/reader             role reader in project p    True    Succeeded             3h1m
`},
		"an empty namespace": {"empty", "There are no objects.\n"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := status(t.Context(), kube, tc.namespace, &out, false); err != nil {
				t.Fatal(err)
			}
			// How wide the columns are is of no interest.
			wide := regexp.MustCompile(` {2,}`)
			if diff := cmp.Diff(wide.ReplaceAllString(tc.want, "  "), wide.ReplaceAllString(out.String(), "  ")); diff != "" {
				t.Errorf("printed (-want +got):\n%s", diff)
			}
		})
	}
}
