package cluster

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestBuildsTellWhatIsLeft: what is compiled once counts once, and time goes with the square of what is compiled.
func TestBuildsTellWhatIsLeft(t *testing.T) {
	t.Parallel()
	b := &Builds{left: map[string]int64{"first@v1": 20, "a@v1": 80, "b@v1": 100, "b@v2": 200}, total: 400}
	for _, step := range []struct {
		compiled, want string
	}{
		{"", "  0 % are compiled"},
		{"first@v1", "  5 % are compiled"},
		{"a@v1", "  25 % are compiled, about 5 min left"},
		{"a@v1", "  25 % are compiled, about 5 min left"},
		{"of another module@v1", "  25 % are compiled, about 5 min left"},
		{"b@v2", "  75 % are compiled, less than a minute left"},
		{"b@v1", ""},
	} {
		b.compiled(step.compiled)
		if got := b.state(20 * time.Second); got != step.want {
			t.Errorf("after %q: %q, want %q", step.compiled, got, step.want)
		}
	}
}

// TestNothingToBuild: a warm cache says nothing.
func TestNothingToBuild(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	b := &Builds{out: &out}
	b.Report()()
	if err := b.Run(t.Context(), "etcd"); err != nil || out.Len() > 0 {
		t.Errorf("%v: %s", err, out.String())
	}
}

// TestPackagesAreNoErrors: what go build prints is told apart, in whatever pieces it comes.
func TestPackagesAreNoErrors(t *testing.T) {
	t.Parallel()
	const text = "internal/cpu\nk8s.io/api/core/v1\n# k8s.io/api/core/v1\nfile.go:1:2: undefined: x\ngopkg.in/yaml.v3\n"
	for _, size := range []int{1, 7, len(text)} {
		var seen []string
		var rest bytes.Buffer
		p := &packages{see: func(pkg string) { seen = append(seen, pkg) }, rest: &rest}
		for piece := range slices.Chunk([]byte(text), size) {
			if _, err := p.Write(piece); err != nil {
				t.Fatal(err)
			}
		}
		if got := strings.Join(seen, " "); got != "internal/cpu k8s.io/api/core/v1 gopkg.in/yaml.v3" {
			t.Errorf("packages: %s", got)
		}
		if rest.String() != "# k8s.io/api/core/v1\nfile.go:1:2: undefined: x\n" {
			t.Errorf("errors: %s", rest.String())
		}
	}
}

// TestSources: the packages of programs that Go has not compiled yet, with the versions by which they count once. Those in
// Go's cache do not count.
func TestSources(t *testing.T) {
	sources := func(name string) map[string]int64 {
		t.Helper()
		target, err := locate(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		sources, err := target.sources(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return sources
	}
	modules, err := modulesDir(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOCACHE", t.TempDir())
	etcd, helm := sources("etcd"), sources("helm4")
	for _, shared := range []string{"errors@", "golang.org/x/net/http2@"} {
		var versions []string
		for source := range etcd {
			if strings.HasPrefix(source, shared) && etcd[source] > 0 && helm[source] == etcd[source] {
				versions = append(versions, source)
			}
		}
		if len(versions) != 1 {
			t.Errorf("%s is not shared: %v", shared, versions)
		}
	}
	if _, err := goCommand(t.Context(), filepath.Join(modules, "etcd"), "build", "-trimpath", "errors"); err != nil {
		t.Fatal(err)
	}
	if after := sources("etcd"); after["errors@"] != 0 || len(after) == 0 || len(after) >= len(etcd) {
		t.Errorf("%d packages before, %d after one was compiled", len(etcd), len(after))
	}
}
