package cluster

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

const (
	// reportEvery is how often Builds says how far they are.
	reportEvery = 20 * time.Second
	// bytesPerSecond is how much source two fast cores of 2025 compile. On a virtual machine where a page fault is dear it was a
	// third of that. It is only the first guess: what follows is measured.
	bytesPerSecond = 300_000
)

// Builds are the programs of a list that are not in the cache yet. It knows how much there is to compile, and says how
// long that still takes.
type Builds struct {
	out     io.Writer
	missing map[string]target
	// sources are the packages of each missing program: their size, by path and version.
	sources map[string]map[string]int64

	mu      sync.Mutex
	started time.Time
	left    map[string]int64 // the packages that are not compiled yet
	total   int64
}

// NewBuilds looks for what is missing.
func NewBuilds(ctx context.Context, out io.Writer, names ...string) (*Builds, error) {
	b := &Builds{out: out, missing: map[string]target{}, sources: map[string]map[string]int64{}, left: map[string]int64{}}
	for _, name := range names {
		t, err := locate(ctx, name)
		if err != nil {
			return nil, err
		}
		if t.built() {
			continue
		}
		b.missing[name] = t
		if b.sources[name], err = t.sources(ctx); err != nil {
			return nil, fmt.Errorf("looking for what %s is built from: %w", name, err)
		}
		maps.Copy(b.left, b.sources[name])
	}
	for _, size := range b.left {
		b.total += size
	}
	return b, nil
}

// Run builds those of the list that are missing, one after the other. Two lists can run at the same time.
func (b *Builds) Run(ctx context.Context, names ...string) error {
	for _, name := range names {
		t, ok := b.missing[name]
		if !ok {
			continue
		}
		versions := map[string]string{}
		for source := range b.sources[name] {
			path, _, _ := strings.Cut(source, "@")
			versions[path] = source
		}
		begun := time.Now()
		if err := t.build(ctx, func(pkg string) { b.compiled(versions[pkg]) }); err != nil {
			return fmt.Errorf("building %s %s: %w", name, t.version, err)
		}
		for source := range b.sources[name] {
			b.compiled(source) // or another build did
		}
		fmt.Fprintf(b.out, "built %s %s in %s\n", name, t.version, time.Since(begun).Round(time.Second))
	}
	return nil
}

func (b *Builds) compiled(source string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.left, source)
}

// Report says at once, and then now and again, how far the builds are, until the function that it returns is called.
func (b *Builds) Report() (end func()) {
	if len(b.missing) == 0 {
		return func() {}
	}
	b.started = time.Now()
	fmt.Fprintf(b.out, "Building what the cluster consists of, once: %d packages, %s on two fast cores, three times as long on slow ones.\n",
		len(b.left), roughly(time.Duration(b.total/bytesPerSecond)*time.Second))
	done := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(reportEvery):
				if state := b.state(time.Since(b.started)); state != "" {
					fmt.Fprintln(b.out, state)
				}
			}
		}
	})
	return func() { close(done); running.Wait() }
}

// state is how far the builds are, after a time, and "" if they are done. Half of the source takes a quarter of the time:
// first come many packages that need nothing from each other; at the end one waits for the other, and programs are linked.
// So time goes with the square (of a cold build of 300 s, 29 % took 40 s, 54 % 80 s, 69 % 160 s, 85 % 240 s). Before a
// quarter is done, that says too little.
func (b *Builds) state(elapsed time.Duration) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var left int64
	for _, size := range b.left {
		left += size
	}
	done := b.total - left
	if left == 0 {
		return ""
	}
	percent := 100 * done / b.total
	if percent < 25 {
		return fmt.Sprintf("  %d %% are compiled", percent)
	}
	part := float64(done) / float64(b.total)
	return fmt.Sprintf("  %d %% are compiled, %s left", percent, roughly(time.Duration(float64(elapsed)*(1/(part*part)-1))))
}

func roughly(d time.Duration) string {
	if d < time.Minute {
		return "less than a minute"
	}
	return fmt.Sprintf("about %.0f min", d.Minutes())
}

// sources are the packages of a program that are not in Go's own cache. The flags are those of the build.
func (t target) sources(ctx context.Context) (map[string]int64, error) {
	const format = `{{if .Stale}}{{.ImportPath}}@{{with .Module}}{{.Version}}{{end}}{{"\t"}}{{.Dir}}{{range .GoFiles}}{{"\t"}}{{.}}{{end}}{{end}}`
	out, err := goCommand(ctx, t.dir, "list", "-deps", "-trimpath", "-f", format, t.pkg)
	if err != nil {
		return nil, err
	}
	sizes := map[string]int64{}
	for line := range strings.Lines(out) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(fields) == 1 {
			continue // cached: an empty line
		}
		for _, file := range fields[2:] {
			info, err := os.Stat(filepath.Join(fields[1], file))
			if err != nil {
				return nil, fmt.Errorf("reading the sources: %w", err)
			}
			sizes[fields[0]] += info.Size()
		}
	}
	return sizes, nil
}

// packages takes the paths of packages out of what the go command prints.
type packages struct {
	see     func(pkg string)
	rest    io.Writer
	partial []byte
}

// packagePath is what `go build -v` prints for a package. Everything else has a space, or a colon.
var packagePath = regexp.MustCompile(`^[\w.~/-]+$`)

func (p *packages) Write(text []byte) (int, error) {
	p.partial = append(p.partial, text...)
	for {
		line, rest, ok := bytes.Cut(p.partial, []byte("\n"))
		if !ok {
			return len(text), nil
		}
		if packagePath.Match(line) {
			p.see(string(line))
		} else if _, err := fmt.Fprintf(p.rest, "%s\n", line); err != nil {
			return 0, err
		}
		p.partial = rest
	}
}
