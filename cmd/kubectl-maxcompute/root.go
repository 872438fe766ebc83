package main

import (
	"fmt"
	"net/http"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
)

func newRoot(streams genericiooptions.IOStreams) (*cobra.Command, error) {
	cluster := &cluster{flags: genericclioptions.NewConfigFlags(true)}
	root := &cobra.Command{
		Use:   "kubectl-maxcompute",
		Short: "Look before you apply: what manifests of maxcompute-operator would do, what objects wait for, and who may do what",
		Annotations: map[string]string{
			cobra.CommandDisplayNameAnnotation: "kubectl maxcompute",
		},
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.ErrOut)
	cluster.flags.AddFlags(root.PersistentFlags())
	root.AddCommand(newPlan(cluster, streams), newApprovePlan(cluster, streams), newReconcile(cluster, streams), newStatus(cluster, streams), newExport(cluster, streams),
		newWhoCan(cluster, streams), newWhatCan(cluster, streams), newReport(cluster, streams))
	return root, cluster.complete(root)
}

// cluster is how the flags say that the API server is reached.
type cluster struct {
	flags *genericclioptions.ConfigFlags
}

// scheme knows the operator's kinds and those of Kubernetes.
func scheme() (*runtime.Scheme, error) {
	s := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(s); err != nil {
		return nil, err
	}
	return s, v1alpha1.AddToScheme(s)
}

// namespace is that of the flags, or of the kubeconfig's context.
func (c *cluster) namespace() (string, error) {
	namespace, _, err := c.flags.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return "", fmt.Errorf("read the kubeconfig: %w", err)
	}
	return namespace, nil
}

// client makes a client of the API server. It makes no call.
func (c *cluster) client() (client.Client, error) {
	config, err := c.flags.ToRESTConfig()
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	// The few requests of a command need no limit of its own beside the server's.
	config.QPS = -1
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return discovery{next} })
	s, err := scheme()
	if err != nil {
		return nil, err
	}
	made, err := client.New(config, client.Options{Scheme: s})
	if err != nil {
		return nil, fmt.Errorf("reach the API server: %w", err)
	}
	return made, nil
}
