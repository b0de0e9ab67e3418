// Command postrender measures arc-postrender on streams of ARC's real charts, from one chart up to 10 MB,
// beside cat, kustomize and yq as post-renderers, and fails if arc-postrender misses its targets. It writes the
// ratios into docs/performance.md.
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/arc-cleanup/arc-cleanup/test/bench/page"
	"github.com/arc-cleanup/arc-cleanup/test/cluster"
	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

const (
	// patience is how long one run may take.
	patience = time.Minute
	// enough is how long a measurement goes on; slow tools get fewer runs.
	enough = 10 * time.Second
)

// The targets: arc-postrender is no slower than kustomize, takes at most 100 ms for ARC's own chart, and
// for the largest stream at most three times its size as memory.
const (
	maxChart  = 100 * time.Millisecond
	maxMemory = 3
)

func main() {
	runs := flag.Int("runs", 15, "how often each is run; the median counts")
	flag.Parse()
	if err := run(context.Background(), *runs); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, runs int) error {
	dir, err := os.MkdirTemp("", "arc-cleanup-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	p, err := harness.Build(ctx, dir, os.Stderr)
	if err != nil {
		return err
	}
	tools, err := tools(ctx, p, dir)
	if err != nil {
		return err
	}
	streams, err := streams(ctx, p, dir)
	if err != nil {
		return err
	}

	fmt.Printf("Median of up to %d runs, %d cores. The stream comes through a pipe and goes into one, as under Helm.\n\n", runs, runtime.NumCPU())
	t := newTable("stream", "", "time", "of kustomize", "memory")
	var missed []error
	var all [][]result
	for _, s := range streams {
		if err := check(ctx, tools[0], s); err != nil {
			return fmt.Errorf("arc-postrender, %s: %w", s.name, err)
		}
		var results []result
		for _, tool := range tools {
			r, err := measure(ctx, runs, s, tool)
			if err != nil {
				return err
			}
			results = append(results, r)
		}
		all = append(all, results)
		name := s.name
		for i, r := range results {
			t.row(name, tools[i].name, r, results[1])
			name = ""
		}
		missed = append(missed, judge(s, results[0], results[1]))
	}
	t.print()
	if err := errors.Join(missed...); err != nil {
		return err
	}
	var versions []string
	for _, name := range []string{"kustomize", "yq"} {
		path, err := cluster.Binary(ctx, name, os.Stderr)
		if err != nil {
			return err
		}
		versions = append(versions, name+" "+page.Version(path))
	}
	return page.Write(ctx, p.Root, pageTable(tools, streams, all, versions...))
}

// judge returns which of the targets is missed.
func judge(s stream, ours, kustomize result) error {
	switch {
	case ours.took > kustomize.took:
		return fmt.Errorf("%s: arc-postrender takes longer than kustomize", s.name)
	case s.size < smallest && ours.took > maxChart:
		return fmt.Errorf("%s: arc-postrender takes longer than %v", s.name, maxChart)
	case s.size >= largest && ours.memory > maxMemory*s.size:
		return fmt.Errorf("%s: arc-postrender takes more than %d times as much memory", s.name, maxMemory)
	}
	return nil
}

// A tool is a command line that copies manifests from stdin to stdout.
type tool struct {
	name string
	dir  string // to run it in
	args []string
}

// kustomizeScript is what people give to Helm as a post-renderer: kustomize takes no resources from stdin.
const kustomizeScript = `cat > all.yaml && exec "$0" build .`

// tools returns arc-postrender, kustomize, yq and cat.
func tools(ctx context.Context, p *harness.Product, dir string) ([]tool, error) {
	kustomize, err := cluster.Binary(ctx, "kustomize", os.Stderr)
	if err != nil {
		return nil, err
	}
	yq, err := cluster.Binary(ctx, "yq", os.Stderr)
	if err != nil {
		return nil, err
	}
	overlay := filepath.Join(dir, "overlay")
	if err := os.Mkdir(overlay, 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(overlay, "kustomization.yaml"), []byte("resources: [all.yaml]\n"), 0o600); err != nil {
		return nil, err
	}
	return []tool{
		{name: "arc-postrender", args: []string{p.Postrender, "--helm", "4", "--set", "image.repository=registry.example/arc-hookjob"}},
		{name: "kustomize", dir: overlay, args: []string{"sh", "-c", kustomizeScript, kustomize}},
		{name: "yq", args: []string{yq, "."}},
		{name: "cat", args: []string{"cat"}},
	}, nil
}

// A stream is a file with manifests.
type stream struct {
	name string
	path string
	size int64
}

// The sizes of the streams with scale sets.
const (
	smallest = 1e5
	largest  = 1e7
)

// streams renders ARC's charts with Helm 4: the controller's alone, and behind as many scale sets as a
// size takes.
func streams(ctx context.Context, p *harness.Product, dir string) ([]stream, error) {
	const set = "arc-runner-set"
	controller, err := render(ctx, p, "arc", harness.ControllerChart)
	if err != nil {
		return nil, err
	}
	scaleSet, err := render(ctx, p, set, harness.ScaleSetChart,
		"githubConfigUrl=https://github.com/acme", "githubConfigSecret.github_token=not-a-token",
		"controllerServiceAccount.name=arc-gha-rs-controller", "controllerServiceAccount.namespace=arc-systems")
	if err != nil {
		return nil, err
	}
	out := []stream{{name: "ARC's chart"}, {name: "0.1 MB", size: smallest}, {name: "1 MB", size: 1e6}, {name: "10 MB", size: largest}}
	for i := range out {
		s := &out[i]
		s.path = filepath.Join(dir, fmt.Sprintf("stream-%d.yaml", i))
		f, err := os.Create(s.path)
		if err != nil {
			return nil, err
		}
		w := bufio.NewWriter(f)
		size := len(controller)
		for n := 0; int64(size) < s.size; n++ {
			written, _ := w.Write(bytes.ReplaceAll(scaleSet, []byte(set), fmt.Appendf(nil, "%s-%d", set, n)))
			size += written
		}
		_, _ = w.Write(controller) // an error stays until Flush
		if err := errors.Join(w.Flush(), f.Close()); err != nil {
			return nil, err
		}
		s.size = int64(size)
	}
	return out, nil
}

var sourceComment = regexp.MustCompile(`(?m)^# Source: .*\n`)

// render renders a chart without the comments of helm template, which Helm 4 does not give to a
// post-renderer.
func render(ctx context.Context, p *harness.Product, release, chart string, values ...string) ([]byte, error) {
	args := []string{"template", release, p.ARCChart(chart), "--namespace", "arc-systems"}
	for _, v := range values {
		args = append(args, "--set", v)
	}
	out, err := p.Helm(ctx, 4, os.DevNull, args...).Output()
	if err != nil {
		return nil, fmt.Errorf("rendering %s: %w", chart, err)
	}
	return sourceComment.ReplaceAll(out, nil), nil
}

// check makes sure that the whole job is measured: the output is the input, and the hook after it.
func check(ctx context.Context, ours tool, s stream) error {
	in, err := os.Open(s.path)
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // only read
	cmd := exec.CommandContext(ctx, ours.args[0], ours.args[1:]...)
	cmd.Stdin = in
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	same, compareErr := beginsWith(stdout, s.path)
	hook, readErr := io.ReadAll(stdout)
	if err := errors.Join(compareErr, readErr, cmd.Wait()); err != nil {
		return err
	}
	if !same || !strings.Contains(string(hook), "kind: Job") {
		return errors.New("the output is not the input and the hook")
	}
	return nil
}

func beginsWith(r io.Reader, path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close() //nolint:errcheck // only read
	want, got := make([]byte, 1<<16), make([]byte, 1<<16)
	for {
		n, err := f.Read(want)
		if err == io.EOF {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		if _, err := io.ReadFull(r, got[:n]); err != nil || !bytes.Equal(want[:n], got[:n]) {
			return false, err
		}
	}
}

// A result is the median of the runs of a tool. If a run takes longer than patience, it is that.
type result struct {
	took   time.Duration
	memory int64 // bytes
}

func measure(ctx context.Context, runs int, s stream, t tool) (result, error) {
	var all []result
	for began := time.Now(); len(all) < runs && (len(all) == 0 || time.Since(began) < enough); {
		r, err := once(ctx, t, s)
		if errors.Is(err, context.DeadlineExceeded) {
			return result{took: patience}, nil
		}
		if err != nil {
			return result{}, fmt.Errorf("%s, %s: %w", t.name, s.name, err)
		}
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b result) int { return cmp.Compare(a.took, b.took) })
	return all[len(all)/2], nil
}

// once runs a tool once. It gives the stream through a pipe and reads the output from one.
func once(ctx context.Context, t tool, s stream) (result, error) {
	in, err := os.Open(s.path)
	if err != nil {
		return result{}, err
	}
	defer in.Close() //nolint:errcheck // only read
	return timed(ctx, t, source{in}, sink{})
}

// piece is how much is written to a pipe or read from it at once. Helm writes all it has, and reads into a
// buffer that doubles.
const piece = 1 << 20

type source struct{ f *os.File }

func (s source) Read(p []byte) (int, error) { return s.f.Read(p) }

func (s source) WriteTo(w io.Writer) (int64, error) {
	return io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{s.f}, make([]byte, piece))
}

type sink struct{}

func (sink) Write(p []byte) (int, error) { return len(p), nil }

func (sink) ReadFrom(r io.Reader) (n int64, err error) {
	for p := make([]byte, piece); err == nil; {
		var m int
		m, err = r.Read(p)
		n += int64(m)
	}
	if err == io.EOF {
		err = nil
	}
	return n, err
}

// timed runs a tool, and returns how long it takes and how much memory.
func timed(ctx context.Context, t tool, stdin io.Reader, stdout io.Writer) (result, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, t.args[0], t.args[1:]...)
	cmd.Dir = t.dir
	cmd.WaitDelay = time.Second
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, &stderr
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return result{}, err
	}
	ended, peak := make(chan struct{}), make(chan int64)
	go func() { peak <- watch(cmd.Process.Pid, ended) }()
	err := cmd.Wait()
	took := time.Since(start)
	close(ended)
	memory := <-peak
	if ctx.Err() != nil {
		return result{}, ctx.Err()
	}
	if err != nil {
		return result{}, fmt.Errorf("%w\n%s", err, stderr.Bytes())
	}
	return result{took, memory}, nil
}

var highWater = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// watch returns the most memory that a process has had when it ends, in bytes. It asks every millisecond:
// afterwards Linux tells only the larger of this and of what the process that started it has had.
func watch(pid int, ended <-chan struct{}) (most int64) {
	for {
		status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)) // gone when the process has ended
		if m := highWater.FindSubmatch(status); m != nil {
			kilobytes, _ := strconv.ParseInt(string(m[1]), 10, 64)
			most = max(most, kilobytes<<10)
		}
		select {
		case <-ended:
			return most
		case <-time.After(time.Millisecond):
		}
	}
}

type table struct{ w *tabwriter.Writer }

func newTable(columns ...string) table {
	t := table{tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)}
	t.text(columns...)
	return t
}

func (t table) text(cells ...string) { fmt.Fprintln(t.w, strings.Join(cells, "\t")) }

func (t table) row(name, tool string, r, of result) {
	if r.took >= patience {
		t.text(name, tool, fmt.Sprintf("over %.0f s", patience.Seconds()), "", "")
		return
	}
	t.text(name, tool, fmt.Sprintf("%.0f ms", float64(r.took)/1e6), fmt.Sprintf("%.2f", float64(r.took)/float64(of.took)), fmt.Sprintf("%.0f MB", float64(r.memory)/1e6))
}

func (t table) print() { _ = t.w.Flush() }
