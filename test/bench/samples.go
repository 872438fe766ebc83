package main

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
)

// looked counts, per role, how often its ACL was read since the journal was reset.
func (b *bench) looked() map[string]int {
	reads := map[string]int{}
	for _, entry := range b.Cloud.Journal() {
		if entry.Action == "GetRoleAcl" {
			reads[entry.Project+"/"+entry.Role]++
		}
	}
	return reads
}

// actions counts the calls in the journal by what they do.
func (b *bench) actions() string {
	counts := map[string]int{}
	for _, entry := range b.Cloud.Journal() {
		counts[entry.Action]++
	}
	var parts []string
	for _, action := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[action], action))
	}
	return strings.Join(parts, ", ")
}

func (b *bench) versions(ctx context.Context, namespace string) (map[string]string, error) {
	// Not the whole objects: there may be 20,000 of them.
	list := metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("ProjectRoleList"))
	if err := b.Kube.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return nil, err
	}
	versions := make(map[string]string, len(list.Items))
	for i := range list.Items {
		versions[list.Items[i].Name] = list.Items[i].ResourceVersion
	}
	return versions, nil
}

func changed(before, after map[string]string) int {
	n := 0
	for name, version := range after {
		if before[name] != version {
			n++
		}
	}
	return n
}

// usage is what became of the calls to an account that has a quota.
type usage struct {
	accepted, refused int
	lasted            time.Duration
}

// usageBetween counts the calls in the journal that came between two moments.
func (b *bench) usageBetween(from, to time.Time) usage {
	u := usage{lasted: to.Sub(from)}
	for _, entry := range b.Cloud.Journal() {
		switch {
		case entry.Time.Before(from) || entry.Time.After(to):
		case strings.Contains(entry.Code, "Throttling"):
			u.refused++
		default:
			u.accepted++
		}
	}
	return u
}

// refusedShare is the part of all calls that were refused, in percent.
func (u usage) refusedShare() float64 {
	return 100 * float64(u.refused) / float64(max(1, u.accepted+u.refused))
}

// usedShare is the part that was used of a quota, in percent. What a full bucket holds could have been used, too.
func (u usage) usedShare(qps, burst float64) float64 {
	return 100 * float64(u.accepted) / (burst + qps*u.lasted.Seconds())
}

// aimShare prints the part that was used of what a Connection allows, whose burst is twice its rate.
func aimShare(what string, u usage, qps int32) {
	used := u.usedShare(float64(qps), float64(2*qps))
	aim(what, used >= 90, "at least 90 %", "%.1f %%", used)
}

// percentile is the smallest duration that so many percent of all do not exceed.
func percentile(durations []time.Duration, percent float64) time.Duration {
	sorted := slices.Sorted(slices.Values(durations))
	return sorted[max(0, int(math.Ceil(percent/100*float64(len(sorted))))-1)]
}

// sample is what the manager says of itself in its metrics.
type sample struct {
	requests, writes, cpu, memory float64
	verbs                         map[string]float64
}

func (s sample) verbsSince(before sample) string {
	var parts []string
	for _, verb := range slices.Sorted(maps.Keys(s.verbs)) {
		if n := s.verbs[verb] - before.verbs[verb]; n > 0 {
			parts = append(parts, fmt.Sprintf("%.0f %s", n, verb))
		}
	}
	return strings.Join(parts, ", ")
}

func (b *bench) sample(ctx context.Context) (sample, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.metrics+"/metrics", nil)
	if err != nil {
		return sample{}, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return sample{}, err
	}
	defer response.Body.Close()
	s := sample{verbs: map[string]float64{}}
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		name, text, _ := strings.Cut(lines.Text(), " ")
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			continue
		}
		s.add(name, value)
	}
	return s, lines.Err()
}

func (s *sample) add(name string, value float64) {
	switch {
	case strings.HasPrefix(name, "rest_client_requests_total{"):
		_, rest, _ := strings.Cut(name, `method="`)
		verb, _, _ := strings.Cut(rest, `"`)
		s.requests += value
		s.verbs[verb] += value
		if verb != http.MethodGet {
			s.writes += value
		}
	case name == "process_cpu_seconds_total":
		s.cpu = value
	case name == "process_resident_memory_bytes":
		s.memory = value / (1 << 20)
	}
}
