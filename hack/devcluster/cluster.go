//go:build unix

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

const (
	etcd              = "etcd"
	apiServer         = "kube-apiserver"
	controllerManager = "kube-controller-manager"
)

// programs are in the order in which they start. They stop in the reverse order: an API server that has lost its etcd
// may hang on the way down.
var programs = []string{etcd, apiServer, controllerManager}

// cluster is a control plane whose files live in dir, an absolute path.
type cluster struct{ dir string }

func (c cluster) kubeconfig() string { return filepath.Join(c.dir, "kubeconfig") }

// data has a name of its own, so that removing it never removes a directory of someone who chose an unlucky --dir.
func (c cluster) data(elem ...string) string {
	return filepath.Join(append([]string{c.dir, "devcluster-data"}, elem...)...)
}

func (c cluster) process(program string) process {
	return process{
		program: program,
		pidFile: filepath.Join(c.dir, program+".pid"),
		logFile: filepath.Join(c.dir, program+".log"),
		mark:    c.data(),
	}
}

// up starts the control plane and waits until it is ready. It reports false if the control plane was running already.
func (c cluster) up(ctx context.Context, assets string) (fresh bool, err error) {
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return false, err
	}
	unlock, err := c.lock()
	if err != nil {
		return false, err
	}
	defer unlock()

	if c.running() {
		return false, nil
	}
	// What an earlier start left behind when it was killed, or when the machine went down under it.
	if err := c.stopAndRemove(); err != nil {
		return false, err
	}
	if err := c.start(ctx, assets); err != nil {
		return false, errors.Join(err, c.stopAndRemove())
	}
	return true, nil
}

// down stops the programs and removes their files. It reports false if there was nothing to stop or remove.
func (c cluster) down() (wasThere bool, err error) {
	if _, err := os.Stat(c.dir); errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	unlock, err := c.lock()
	if err != nil {
		return false, err
	}
	defer unlock()

	if _, err := os.Stat(c.data()); errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return true, c.stopAndRemove()
}

// lock keeps two commands from working on one directory at the same time. The lock ends with the process that holds it.
func (c cluster) lock() (unlock func(), err error) {
	d, err := os.Open(c.dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another up or down is at work in %s: %w", c.dir, err), d.Close())
	}
	return func() { d.Close() }, nil //nolint:errcheck // the lock ends with the descriptor, whatever Close says
}

// running reports whether a start came to its end, which is when the kubeconfig is written, and all programs still run.
func (c cluster) running() bool {
	if _, err := os.Stat(c.kubeconfig()); err != nil {
		return false
	}
	return !slices.ContainsFunc(programs, func(program string) bool { return c.process(program).pid() == 0 })
}

func (c cluster) stopAndRemove() error {
	files := []string{c.kubeconfig(), c.data()}
	for _, program := range slices.Backward(programs) {
		p := c.process(program)
		if err := p.stop(); err != nil {
			// The files stay, so that a second down can find the process.
			return err
		}
		files = append(files, p.pidFile, p.logFile)
	}
	for _, file := range files {
		if err := os.RemoveAll(file); err != nil {
			return err
		}
	}
	// It fails when somebody else's files are in there, and then the directory has to stay.
	os.Remove(c.dir) //nolint:errcheck // see above
	return nil
}

func (c cluster) start(ctx context.Context, assets string) error {
	if err := checkAssets(assets); err != nil {
		return err
	}
	if err := os.MkdirAll(c.data(), 0o700); err != nil {
		return err
	}
	ports, err := freePorts(ctx, 3)
	if err != nil {
		return err
	}
	etcdURL := fmt.Sprintf("http://127.0.0.1:%d", ports[0])
	peerURL := fmt.Sprintf("http://127.0.0.1:%d", ports[1])
	api := apiClient{url: fmt.Sprintf("https://127.0.0.1:%d", ports[2]), token: rand.Text(), caFile: c.data("certs", "apiserver.crt")}
	managerToken := rand.Text()
	tokens := fmt.Sprintf("%s,admin,admin,system:masters\n%s,system:kube-controller-manager,system:kube-controller-manager\n", api.token, managerToken)
	if err := os.WriteFile(c.data("tokens.csv"), []byte(tokens), 0o600); err != nil {
		return err
	}
	if err := writeKey(c.data("service-account.key")); err != nil {
		return err
	}

	var running []<-chan error
	launch := func(program string, args ...string) error {
		exited, err := c.process(program).start(filepath.Join(assets, program), args...)
		running = append(running, exited)
		return err
	}

	// Without fsync: what is lost with the machine is a throw-away cluster.
	if err := launch(etcd,
		"--data-dir="+c.data("etcd"), "--unsafe-no-fsync",
		"--listen-client-urls="+etcdURL, "--advertise-client-urls="+etcdURL,
		"--listen-peer-urls="+peerURL, "--initial-advertise-peer-urls="+peerURL, "--initial-cluster=default="+peerURL,
	); err != nil {
		return err
	}
	// It makes its own serving certificate in --cert-dir, and waits for etcd by itself. The endpoint reconciler would
	// report an error every ten seconds, because a Service must not lead to the loopback interface.
	if err := launch(apiServer,
		"--etcd-servers="+etcdURL, "--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", ports[2]),
		"--cert-dir="+c.data("certs"), "--token-auth-file="+c.data("tokens.csv"), "--authorization-mode=RBAC",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-signing-key-file="+c.data("service-account.key"), "--service-account-key-file="+c.data("service-account.key"),
		"--service-cluster-ip-range=10.0.0.0/24", "--endpoint-reconciler-type=none",
	); err != nil {
		return err
	}
	if err := api.waitFor(ctx, "/readyz", running); err != nil {
		return err
	}

	managerConfig := c.data("controller-manager.kubeconfig")
	if err := api.writeKubeconfig(managerConfig, managerToken); err != nil {
		return err
	}
	// Each controller with its own service account: only their roles, not the one of system:kube-controller-manager,
	// may delete custom resources, and without that no namespace that holds one ever finishes deleting.
	if err := launch(controllerManager,
		"--kubeconfig="+managerConfig, "--use-service-account-credentials=true",
		"--service-account-private-key-file="+c.data("service-account.key"),
		"--controllers=garbage-collector-controller,namespace-controller,serviceaccount-controller,serviceaccount-token-controller,clusterrole-aggregation-controller",
		"--leader-elect=false", "--bind-address=127.0.0.1", "--secure-port=0",
	); err != nil {
		return err
	}
	// The controller manager has no port to ask, but the first thing that it makes can be seen.
	if err := api.waitFor(ctx, "/api/v1/namespaces/default/serviceaccounts/default", running); err != nil {
		return err
	}
	return api.writeKubeconfig(c.kubeconfig(), api.token)
}

func checkAssets(assets string) error {
	if assets == "" {
		return errors.New("no programs: pass --assets \"$(make -s controlplane)\" or set KUBEBUILDER_ASSETS")
	}
	for _, program := range programs {
		if _, err := os.Stat(filepath.Join(assets, program)); err != nil {
			return fmt.Errorf("--assets lacks a program: %w", err)
		}
	}
	return nil
}

// freePorts holds all listeners until the last one is open, so that it cannot return a port twice.
func freePorts(ctx context.Context, n int) ([]int, error) {
	ports := make([]int, 0, n)
	for range n {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() //nolint:errcheck // nothing came in
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// writeKey makes the key that signs service-account tokens.
func writeKey(file string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600)
}

// apiClient is as much of a Kubernetes client as waiting for the control plane needs; caFile appears once the API
// server has made it.
type apiClient struct{ url, token, caFile string }

// waitFor returns when path answers 200, and fails as soon as one of the programs has ended.
func (a apiClient) waitFor(ctx context.Context, path string, running []<-chan error) error {
	var last error
	for {
		for _, exited := range running {
			select {
			case err := <-exited:
				return err
			default:
			}
		}
		if last = a.get(ctx, path); last == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("gave up waiting for %s%s: %w; last answer: %w", a.url, path, context.Cause(ctx), last)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (a apiClient) get(ctx context.Context, path string) error {
	ca, err := os.ReadFile(a.caFile)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		DisableKeepAlives: true,
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url+path, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+a.token)
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	return nil
}

func (a apiClient) writeKubeconfig(file, token string) error {
	ca, err := os.ReadFile(a.caFile)
	if err != nil {
		return err
	}
	config := fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: devcluster
contexts:
- name: devcluster
  context: {cluster: devcluster, user: devcluster}
clusters:
- name: devcluster
  cluster:
    server: %s
    certificate-authority-data: %s
users:
- name: devcluster
  user: {token: %s}
`, a.url, base64.StdEncoding.EncodeToString(ca), token)
	return os.WriteFile(file, []byte(config), 0o600)
}
