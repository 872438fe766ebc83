package connect

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/dataworks"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
)

// dataWorksClients makes the clients of DataWorks: none for an account that never uses it, and one for each version that is used, since a
// request is followed with the version that it was made with, whatever the Connection names by then.
type dataWorksClients struct {
	allowed EndpointPolicy
	config  dataworks.Config

	mu    sync.Mutex
	known map[string]dataworks.Client
}

func (d *dataWorksClients) get(version string) (dataworks.Client, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if known := d.known[version]; known != nil {
		return known, nil
	}
	made, err := d.make(version)
	if err != nil {
		return nil, err
	}
	if d.known == nil {
		d.known = map[string]dataworks.Client{}
	}
	d.known[version] = made
	return made, nil
}

func (d *dataWorksClients) make(version string) (dataworks.Client, error) {
	if d.config.Endpoint == "" {
		return nil, conditions.Stall(v1alpha1.ReasonInvalidSpec, "endpoints.dataWorks is required without a region, for permission requests")
	}
	if err := d.allowed.check(d.config.Endpoint); err != nil {
		return nil, err
	}
	construct := map[string]func(dataworks.Config) (dataworks.Client, error){dataworks.Version2020: dataworks.New2020, dataworks.Version2024: dataworks.New2024}[version]
	if construct == nil {
		return nil, conditions.Stall(v1alpha1.ReasonInvalidSpec, "DataWorks has no API version %q", version)
	}
	made, err := construct(d.config)
	if err != nil {
		return nil, conditions.Stall(v1alpha1.ReasonInvalidSpec, "%v", err)
	}
	return made, nil
}

// DataWorks returns the client of one version of the API, dataworks.Version2020 or Version2024, which all objects of the account share. Its
// error says what is wrong with the connection.
func (a *Account) DataWorks(version string) (dataworks.Client, error) {
	return a.dataWorks.get(version)
}

// Turn asks for the turn of a look at a permission request that nobody waits for, which is due since a time. 0 means to call the service now;
// anything else, at least a second and at most an hour, is how long to wait before asking again. Who is due longest goes first. It never
// blocks. Who has stopped asking does not hold up others for long, or not at all with Unused.
func (a *Account) Turn(uid types.UID, due time.Time) time.Duration {
	return a.limiters.dataWorks.turn(uid, due)
}

// Unused says that a permission request needs no turn any more: it is gone, or decided.
func (a *Account) Unused(uid types.UID) { a.limiters.dataWorks.unused(uid) }

// RetryAfterRefusal is how long to leave a permission request alone that the service has refused: asking again at once would most likely be
// refused again, and costs as much as any call.
func (a *Account) RetryAfterRefusal() time.Duration { return a.limiters.dataWorks.retryAfterRefusal() }
