package upgrade

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakeHelm is a Helm that logs its arguments, renders the content of a file with the release's name, and
// fails where a test says so.
type fakeHelm struct {
	t   *testing.T
	dir string
}

const fakeScript = `dir="$(dirname "$0")"
echo "$@" >> "$dir/log"
cat > "$dir/stdin.$1.$2" < /dev/stdin
if [ -e "$dir/fail.$1.$2" ]; then echo "told to fail" >&2; exit 1; fi
case "$1" in
version) echo v4.3.1 ;;
history) echo '[{"revision":1}]' ;;
show) if [ "$2" = crds ]; then cat "$dir/crds"; else cat "$3/Chart.yaml"; fi ;;
template) cat "$dir/rendered.$2" 2>/dev/null || true ;;
esac
`

func newHelm(t *testing.T) *fakeHelm {
	t.Helper()
	return &fakeHelm{t, filepath.Dir(script(t, fakeScript))}
}

func (f *fakeHelm) write(name, text string) {
	f.t.Helper()
	if err := os.WriteFile(filepath.Join(f.dir, name), []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fakeHelm) renders(release string, objects ...kubeObject) {
	f.t.Helper()
	text := ""
	for _, o := range objects {
		one, err := json.Marshal(o)
		if err != nil {
			f.t.Fatal(err)
		}
		text += "---\n" + string(one) + "\n"
	}
	f.write("rendered."+release, text)
}

// said returns the first two words of each command.
func (f *fakeHelm) said() []string {
	f.t.Helper()
	log, _ := os.ReadFile(filepath.Join(f.dir, "log"))
	out := []string{}
	for line := range strings.Lines(string(log)) {
		out = append(out, strings.Join(strings.Fields(line)[:2], " "))
	}
	return out
}

func (f *fakeHelm) read(name string) string {
	text, _ := os.ReadFile(filepath.Join(f.dir, name))
	return string(text)
}
