package cluster

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestBuildsTellWhatIsLeft: what is compiled once counts once, and the rest takes as long for its size.
func TestBuildsTellWhatIsLeft(t *testing.T) {
	t.Parallel()
	b := &Builds{left: map[string]int64{"a@v1": 100, "b@v1": 100, "b@v2": 200}, total: 400}
	for _, step := range []struct {
		compiled, want string
	}{
		{"", "  0 % are compiled"},
		{"a@v1", "  25 % are compiled, about 6 min left"},
		{"a@v1", "  25 % are compiled, about 6 min left"},
		{"of another module@v1", "  25 % are compiled, about 6 min left"},
		{"b@v2", "  75 % are compiled, less than a minute left"},
		{"b@v1", "  100 % are compiled, less than a minute left"},
	} {
		b.compiled(step.compiled)
		if got := b.state(2 * time.Minute); got != step.want {
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

// TestSources: the packages of a program, with the versions that make them another's too.
func TestSources(t *testing.T) {
	t.Parallel()
	all := map[string]map[string]int64{}
	for _, name := range []string{"etcd", "helm4"} {
		target, err := locate(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if all[name], err = target.sources(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, shared := range []string{"net/http@", "golang.org/x/net/http2@"} {
		var versions []string
		for _, sources := range all {
			for source := range sources {
				if strings.HasPrefix(source, shared) {
					versions = append(versions, source)
				}
			}
		}
		if len(versions) != 2 || versions[0] != versions[1] {
			t.Errorf("%s: %v", shared, versions)
		}
	}
}
