package destination_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/maxcompute-operator/maxcompute-operator/internal/destination"
)

// volume is an export directory beside something that nobody may touch.
func volume(t *testing.T) (root, outside string) {
	t.Helper()
	base := t.TempDir()
	root, outside = filepath.Join(base, "exports"), filepath.Join(base, "outside")
	write(t, filepath.Join(outside, "a"), "outside")
	write(t, filepath.Join(outside, ".uid-1.part"), "outside")
	write(t, filepath.Join(outside, "daily/a"), "outside")
	write(t, filepath.Join(outside, "daily/.uid-1.part"), "outside")
	write(t, filepath.Join(root, "team-b/a"), "theirs")
	write(t, filepath.Join(root, "team-b/.uid-1.part"), "theirs")
	write(t, filepath.Join(root, "team-b/daily/a"), "theirs")
	write(t, filepath.Join(root, "team-b/daily/.uid-1.part"), "theirs")
	return root, outside
}

func TestLinksAreNotFollowed(t *testing.T) {
	// at is where the link is below the export directory, to where it leads.
	tests := map[string]struct{ at, to, message string }{
		"a namespace that leads outside":             {"team-a", "../outside", "team-a is a link or a file, not a directory"},
		"a namespace that leads outside, absolutely": {"team-a", "OUTSIDE", "team-a is a link or a file, not a directory"},
		"a namespace that leads to another":          {"team-a", "team-b", "team-a is a link or a file, not a directory"},
		"a namespace that leads to itself":           {"team-a", "team-a", "team-a is a link or a file, not a directory"},
		"a namespace that leads nowhere":             {"team-a", "nowhere", "team-a is a link or a file, not a directory"},
		"a path that leads outside":                  {"team-a/daily", "../../outside", "daily is a link or a file, not a directory"},
		"a path that leads outside, absolutely":      {"team-a/daily", "OUTSIDE", "daily is a link or a file, not a directory"},
		"a path that leads to another namespace":     {"team-a/daily", "../team-b/daily", "daily is a link or a file, not a directory"},
		"a path that leads to its own directory":     {"team-a/daily", ".", "daily is a link or a file, not a directory"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			root, outside := volume(t)
			link := filepath.Join(root, tt.at)
			to := strings.Replace(tt.to, "OUTSIDE", outside, 1)
			if err := errors.Join(os.MkdirAll(filepath.Dir(link), 0o750), os.Symlink(to, link)); err != nil {
				t.Fatal(err)
			}
			before := tree(t, filepath.Dir(root))
			d := newDirectory(t, root)
			_, err := d.Receive()
			wantCode(t, err, destination.Invalid)
			if want := "receive a file in directory team-a/daily: " + tt.message; err == nil || err.Error() != want {
				t.Errorf("got message %v, want %s", err, want)
			}
			_, _, err = d.Find(t.Context(), d.Location("a"))
			wantCode(t, err, destination.Invalid)
			wantCode(t, d.Remove(t.Context(), d.Location("a")), destination.Invalid)
			wantCode(t, d.Clean(t.Context(), d.Location("a")), destination.Invalid)
			wantTree(t, filepath.Dir(root), before)
		})
	}
}

func TestLinksAtTheNamesOfFiles(t *testing.T) {
	for name, to := range map[string]string{
		"outside": "../../../outside/a", "to nowhere": "nowhere", "to another namespace": "../../team-b/a", "to a directory": "../../team-b",
	} {
		t.Run(name, func(t *testing.T) {
			root, outside := volume(t)
			dir := filepath.Join(root, "team-a/daily")
			if err := errors.Join(os.MkdirAll(dir, 0o750), os.Symlink(to, dir+"/.uid-1.part"), os.Symlink(to, dir+"/a")); err != nil {
				t.Fatal(err)
			}
			others := []map[string]string{tree(t, outside), tree(t, filepath.Join(root, "team-b"))}
			d := newDirectory(t, root)
			wantCode(t, d.Clean(t.Context(), d.Location("a")), "")
			if err := os.Symlink(to, dir+"/.uid-1.part"); err != nil {
				t.Fatal(err)
			}
			p := receive(t, d, []byte("x"))
			wantCode(t, d.Store(t.Context(), p, d.Location("a"), ""), destination.Exists)
			_, _, err := d.Find(t.Context(), d.Location("a"))
			wantCode(t, err, destination.Invalid)
			wantCode(t, d.Remove(t.Context(), d.Location("a")), destination.Invalid)
			wantTree(t, dir, map[string]string{"a": to, ".uid-1.part": "x"})
			wantCode(t, d.Store(t.Context(), p, d.Location("b"), ""), "")
			wantTree(t, dir, map[string]string{"a": to, "b": "x"})
			wantTree(t, outside, others[0])
			wantTree(t, filepath.Join(root, "team-b"), others[1])
		})
	}
}

func TestADirectoryIsReplacedBetweenLookingAndOpening(t *testing.T) {
	for name, replace := range map[string]func(place string) error{
		"by a link outside":              func(place string) error { return os.Symlink("../outside", place) },
		"by a link to the one beside it": func(place string) error { return os.Symlink("team-b", place) },
		"by another directory":           func(place string) error { return os.Mkdir(place, 0o750) },
		"by a file":                      func(place string) error { return os.WriteFile(place, nil, 0o600) },
		"by nothing":                     func(string) error { return nil },
		"by a link to nowhere":           func(place string) error { return os.Symlink("nowhere", place) },
	} {
		t.Run(name, func(t *testing.T) {
			base, _ := volume(t)
			root, err := os.OpenRoot(base)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := root.Close(); err != nil {
					t.Error(err)
				}
			})
			place := filepath.Join(base, "team-a")
			before, err := os.Lstat(filepath.Join(base, "team-b/daily"))
			if err := errors.Join(err, replace(place)); err != nil {
				t.Fatal(err)
			}
			opened, err := destination.OpenSame(root, "team-a", before)
			if opened != nil {
				t.Error("it was opened")
			}
			wantCode(t, err, destination.Invalid)
			if want := "open: team-a was replaced while it was opened"; err == nil || err.Error() != want {
				t.Errorf("got message %v, want %s", err, want)
			}
		})
	}
}

// TestLinksAreSwappedIn has somebody replace a directory by links, again and again, while files are stored in it and removed.
func TestLinksAreSwappedIn(t *testing.T) {
	for name, at := range map[string]string{"the namespace": "team-a", "the path": "team-a/daily"} {
		for where, tt := range map[string]struct {
			to    string
			times int
		}{"outside": {"OUTSIDE", 1000}, "to another namespace": {"ROOT/team-b", 1000}, "to the directory beside it": {"team-b", 10_000}} {
			t.Run(name+" leads "+where, func(t *testing.T) {
				root, outside := volume(t)
				place := filepath.Join(root, at)
				to := strings.NewReplacer("OUTSIDE", outside, "ROOT", root).Replace(tt.to)
				beside := filepath.Join(filepath.Dir(place), "team-b")
				write(t, filepath.Join(beside, "a"), "theirs")
				write(t, filepath.Join(beside, ".uid-1.part"), "theirs")
				write(t, filepath.Join(beside, "daily/a"), "theirs")
				if err := os.MkdirAll(filepath.Join(root, "team-a/daily"), 0o750); err != nil {
					t.Fatal(err)
				}
				others := []string{outside, beside, filepath.Join(root, "team-b")}
				var before []map[string]string
				for _, other := range others {
					before = append(before, tree(t, other))
				}
				done := make(chan int, 1)
				go func() { done <- swap(place, to, tt.times) }()
				d := newDirectory(t, root)
				stored := 0
				var attempts error
				for swapping := true; swapping; {
					select {
					case links := <-done:
						if links == 0 {
							t.Error("the link was never there")
						}
						swapping = false
					default:
					}
					if pass(t.Context(), d, "x", d.Location("a")) == nil {
						stored++
					}
					// Each may fail, but none may reach anything else.
					_, _, err := d.Find(t.Context(), d.Location("a"))
					attempts = errors.Join(err, d.Clean(t.Context(), d.Location("a")), d.Remove(t.Context(), d.Location("a")))
				}
				t.Logf("%d files were stored meanwhile; the last attempts to find, clean and remove: %v", stored, attempts)
				for i, other := range others {
					wantTree(t, other, before[i])
				}
			})
		}
	}
}

// swap replaces a directory by a link and back, so many times, and returns how often the link was there. Each step may fail: whoever is
// tested may have made another directory meanwhile.
func swap(place, to string, times int) (links int) {
	aside := place + ".aside"
	for range times {
		_ = os.RemoveAll(aside)     //nolint:errcheck // see above
		_ = os.Rename(place, aside) //nolint:errcheck // see above
		if os.Symlink(to, place) == nil {
			links++
		}
		_ = os.Remove(place)        //nolint:errcheck // see above
		_ = os.Rename(aside, place) //nolint:errcheck // see above
	}
	return links
}
