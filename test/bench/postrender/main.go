// Command postrender measures arc-postrender on streams of ARC's real charts,
// from one chart up to 100 MB, beside cat, and beside kustomize and yq as
// post-renderers in the same run.
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
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/arc-cleanup/arc-cleanup/test/cluster"
	"github.com/arc-cleanup/arc-cleanup/test/product"
)

const (
	// patience is how long one run may take. Who needs longer is not asked for more.
	patience = time.Minute
	// enough is how long a measurement goes on; slow tools get fewer runs.
	enough = 10 * time.Second
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
	p, err := product.Build(ctx, dir, os.Stderr)
	if err != nil {
		return err
	}
	ours, peers, err := tools(ctx, p, dir)
	if err != nil {
		return err
	}
	streams, err := streams(ctx, p, dir)
	if err != nil {
		return err
	}

	fmt.Printf("Median of up to %d runs, %d cores. The stream comes through a pipe and goes into one, as under Helm.\n\n", runs, runtime.NumCPU())
	t := newTable("stream", "", "time", "of cat", "memory")
	for _, s := range streams {
		if err := check(ctx, ours, s); err != nil {
			return fmt.Errorf("arc-postrender, %s: %w", s.name, err)
		}
		results, err := measure(ctx, runs, s, pipes, cat, ours)
		if err != nil {
			return err
		}
		t.row(s.name, cat.name, results[0], results[0])
		t.row("", ours.name, results[1], results[0])
		for i, peer := range peers {
			if peer.name == "" {
				continue
			}
			peerResults, err := measure(ctx, runs, s, pipes, peer)
			if errors.Is(err, context.DeadlineExceeded) {
				t.text("", peer.name, fmt.Sprintf("over %.0f s", patience.Seconds()))
				peers[i].name = "" // let alone with a larger one
				continue
			}
			if err != nil {
				return err
			}
			t.row("", peer.name, peerResults[0], results[0])
		}
	}
	t.print()

	fmt.Print("\nThe same through other ends.\n\n")
	t = newTable("stream", "", "pipe to /dev/null", "of cat", "file to file", "of cat")
	for _, s := range streams[len(streams)-2:] {
		null, err := measure(ctx, runs, s, toNull, cat, ours)
		if err != nil {
			return err
		}
		file, err := measure(ctx, runs, s, files, cat, ours)
		if err != nil {
			return err
		}
		t.text(s.name, cat.name, milliseconds(null[0]), ratio(null[0], null[0]), milliseconds(file[0]), ratio(file[0], file[0]))
		t.text("", ours.name, milliseconds(null[1]), ratio(null[1], null[0]), milliseconds(file[1]), ratio(file[1], file[0]))
	}
	t.print()
	return nil
}

// A tool is a command line that copies manifests from stdin to stdout.
type tool struct {
	name string
	dir  string // to run it in
	args []string
}

var cat = tool{name: "cat", args: []string{"cat"}}

// kustomizeScript is what people give to Helm as a post-renderer: kustomize
// takes no resources from stdin.
const kustomizeScript = `cat > all.yaml && exec "$0" build .`

func tools(ctx context.Context, p *product.Product, dir string) (ours tool, peers []tool, err error) {
	kustomize, err := cluster.Binary(ctx, "kustomize", os.Stderr)
	if err != nil {
		return tool{}, nil, err
	}
	yq, err := cluster.Binary(ctx, "yq", os.Stderr)
	if err != nil {
		return tool{}, nil, err
	}
	overlay := filepath.Join(dir, "overlay")
	if err := os.Mkdir(overlay, 0o700); err != nil {
		return tool{}, nil, err
	}
	if err := os.WriteFile(filepath.Join(overlay, "kustomization.yaml"), []byte("resources: [all.yaml]\n"), 0o600); err != nil {
		return tool{}, nil, err
	}
	return tool{name: "arc-postrender", args: []string{p.Postrender, "--helm", "4"}}, []tool{
		{name: "kustomize", dir: overlay, args: []string{"sh", "-c", kustomizeScript, kustomize}},
		{name: "yq", args: []string{yq, "."}},
	}, nil
}

// A stream is a file with manifests.
type stream struct {
	name string
	path string
	size int64
}

// streams renders ARC's charts with Helm 4: the controller's alone, and after as
// many scale sets as a size takes. That is the hard order, since everything
// has to be looked for up to the end.
func streams(ctx context.Context, p *product.Product, dir string) ([]stream, error) {
	const set = "arc-runner-set"
	controller, err := render(ctx, p, "arc", product.ControllerChart)
	if err != nil {
		return nil, err
	}
	scaleSet, err := render(ctx, p, set, product.ScaleSetChart,
		"githubConfigUrl=https://github.com/acme", "githubConfigSecret.github_token=not-a-token",
		"controllerServiceAccount.name=arc-gha-rs-controller", "controllerServiceAccount.namespace=arc-systems")
	if err != nil {
		return nil, err
	}
	out := []stream{{name: "ARC's chart"}, {name: "0.1 MB", size: 1e5}, {name: "1 MB", size: 1e6}, {name: "10 MB", size: 1e7}, {name: "100 MB", size: 1e8}}
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

// render renders a chart without the comments of helm template, which a
// post-renderer of Helm 4 does not see.
func render(ctx context.Context, p *product.Product, release, chart string, values ...string) ([]byte, error) {
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

// check makes sure that what is measured is the whole job: the input comes out,
// and the hook after it.
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

type result struct {
	took   time.Duration
	memory int64 // bytes
}

// measure runs tools in turns, so that whatever else the machine does meets all
// of them, and returns the median of each.
func measure(ctx context.Context, runs int, s stream, once onceFunc, tools ...tool) ([]result, error) {
	all := make([][]result, len(tools))
	began := time.Now()
	for range runs {
		if time.Since(began) > enough {
			break
		}
		for i, t := range tools {
			r, err := once(ctx, t, s)
			if err != nil {
				return nil, fmt.Errorf("%s, %s: %w", t.name, s.name, err)
			}
			all[i] = append(all[i], r)
		}
	}
	medians := make([]result, len(tools))
	for i, results := range all {
		slices.SortFunc(results, func(a, b result) int { return cmp.Compare(a.took, b.took) })
		medians[i] = results[len(results)/2]
	}
	return medians, nil
}

type onceFunc func(context.Context, tool, stream) (result, error)

// pipes gives the stream through a pipe and reads the output from one.
func pipes(ctx context.Context, t tool, s stream) (result, error) {
	in, err := os.Open(s.path)
	if err != nil {
		return result{}, err
	}
	defer in.Close() //nolint:errcheck // only read
	return timed(ctx, t, source{in}, sink{})
}

// toNull gives the stream through a pipe, and drops the output.
func toNull(ctx context.Context, t tool, s stream) (result, error) {
	in, err := os.Open(s.path)
	if err != nil {
		return result{}, err
	}
	defer in.Close() //nolint:errcheck // only read
	return timed(ctx, t, source{in}, nil)
}

// files goes from a file to a file.
func files(ctx context.Context, t tool, s stream) (result, error) {
	in, err := os.Open(s.path)
	if err != nil {
		return result{}, err
	}
	defer in.Close() //nolint:errcheck // only read
	out, err := os.Create(s.path + ".out")
	if err != nil {
		return result{}, err
	}
	defer out.Close() //nolint:errcheck // nobody reads it
	return timed(ctx, t, in, out)
}

// piece is how much is written to a pipe or read from it at once. Helm writes
// all it has, and reads into a buffer that doubles.
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

// timed runs a tool once. Without stdout the output goes to /dev/null.
func timed(ctx context.Context, t tool, stdin io.Reader, stdout io.Writer) (result, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, t.args[0], t.args[1:]...)
	cmd.Dir = t.dir
	cmd.WaitDelay = time.Second
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, &stderr
	start := time.Now()
	err := cmd.Run()
	took := time.Since(start)
	if ctx.Err() != nil {
		return result{}, ctx.Err()
	}
	if err != nil {
		return result{}, fmt.Errorf("%w\n%s", err, stderr.Bytes())
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return result{}, errors.New("this system does not say how much memory a process used")
	}
	return result{took, usage.Maxrss << 10}, nil // Linux counts in KiB
}

// megabytes prints the peak of a process's memory. Linux counts in what this
// process had when it made the other, so less than that cannot be seen.
func megabytes(memory int64) string {
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err == nil && memory <= own.Maxrss<<10 {
		return fmt.Sprintf("under %.0f MB", float64(own.Maxrss<<10)/1e6)
	}
	return fmt.Sprintf("%.0f MB", float64(memory)/1e6)
}

func milliseconds(r result) string { return fmt.Sprintf("%.0f ms", float64(r.took)/1e6) }

func ratio(r, of result) string { return fmt.Sprintf("%.1f", float64(r.took)/float64(of.took)) }

type table struct{ w *tabwriter.Writer }

func newTable(columns ...string) table {
	t := table{tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)}
	t.text(columns...)
	return t
}

func (t table) text(cells ...string) { fmt.Fprintln(t.w, strings.Join(cells, "\t")) }

func (t table) row(name, tool string, r, of result) {
	t.text(name, tool, milliseconds(r), ratio(r, of), megabytes(r.memory))
}

func (t table) print() { _ = t.w.Flush() }
