//go:build tools

package tools

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

const example = "examples/terraform"

// newTofu is a lab with OpenTofu, which takes our provider for hashicorp/helm.
func newTofu(t *testing.T) *lab {
	t.Helper()
	l := newLab(t)
	l.build("tofu")
	providers := filepath.Join(l.dir, "providers")
	// The flags of Helm's own build: what they share is compiled once.
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", filepath.Join(providers, "terraform-provider-helm"), ".")
	build.Dir = "provider"
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the provider: %v\n%s", err, out)
	}
	config := l.write("tofu.rc", fmt.Sprintf("provider_installation {\n  dev_overrides {\n    \"hashicorp/helm\" = %q\n  }\n}\n", providers))
	l.env = append(l.env, "TF_CLI_CONFIG_FILE="+config, "TF_IN_AUTOMATION=1", "CHECKPOINT_DISABLE=1")
	return l
}

// configure sets what the scale set of the example needs here, and more arguments of its controller.
func (l *lab) configure(maxRunners int, controller ...string) {
	l.Helper()
	l.write(example+"/here_override.tf", fmt.Sprintf(`
resource "helm_release" "arc" {
  %s
}

resource "helm_release" "arc_runner_set" {
  values = [yamlencode({
    gha-runner-scale-set = {
      githubConfigUrl    = %q
      githubConfigSecret = { github_token = "not-a-token" }
      minRunners         = 1
      maxRunners         = %d
    }
  })]
}
`, strings.Join(controller, "\n  "), cl.GitHub().ConfigURL(), maxRunners))
}

func (l *lab) tofu(command string, args ...string) (string, int) {
	l.Helper()
	return l.run(example, "tofu", append([]string{command, "-no-color", "-input=false"}, args...)...)
}

func (l *lab) mustTofu(command string, args ...string) string {
	l.Helper()
	out, code := l.tofu(command, args...)
	if code != 0 {
		l.Fatalf("tofu %s: exit code %d\n%s", command, code, out)
	}
	return out
}

// TestTofu installs the example, changes it, and destroys it.
func TestTofu(t *testing.T) {
	l := newTofu(t)
	l.configure(2)
	runs := harness.HookRuns(t.Context(), t, l.client)
	l.mustTofu("apply", "-auto-approve")
	l.lives()
	l.mustTofu("plan", "-detailed-exitcode") // 2 if there is anything to do

	l.configure(3)
	l.mustTofu("apply", "-auto-approve")
	l.wants("arc", controllerNamespace, 1, "deployed")
	l.wants("arc-runner-set", runnerNamespace, 2, "deployed")
	l.lives()

	// What depends on the controller goes before it, asked for or not.
	l.mustTofu("destroy", "-auto-approve", "-target=helm_release.arc")
	l.gone(runs(), []string{scaleSetJob, controllerJob})
}

// TestTofuHookFails: a destroy whose hook refuses fails, the release stays in the state, and the next destroy goes on. An
// apply in between does not.
func TestTofuHookFails(t *testing.T) {
	l := newTofu(t)
	l.configure(2)
	l.mustTofu("apply", "-auto-approve")
	l.lives()
	other := append([]string{"install", "other", built.ARCChart(harness.ScaleSetChart), "--namespace", "others", "--create-namespace", "--set", "minRunners=0"},
		harness.ScaleSetValues("", cl.GitHub().ConfigURL(), controllerNamespace)...)
	l.must(".", "helm", other...)

	runs := harness.HookRuns(t.Context(), t, l.client)
	out, code := l.tofu("destroy", "-auto-approve")
	if code != 1 || !strings.Contains(out, "job arc-arc-cleanup failed") {
		t.Errorf("a hook that refuses: exit code %d\n%s", code, out)
	}
	if state := l.must(example, "tofu", "state", "list"); strings.TrimSpace(state) != "helm_release.arc" {
		t.Errorf("in the state: %s", state)
	}
	l.wants("arc", controllerNamespace, 1, "uninstalling")
	if out, code := l.tofu("apply", "-auto-approve", "-target=helm_release.arc"); code != 1 || !strings.Contains(out, "has no deployed releases") {
		t.Errorf("apply after a destroy that failed: exit code %d\n%s", code, out)
	}
	l.must(".", "helm", "uninstall", "other", "--namespace", "others", "--wait")
	l.mustTofu("destroy", "-auto-approve")
	l.gone(runs(), []string{scaleSetJob, controllerJob, controllerJob})
}

// TestTofuDisableWebhooks: disable_webhooks runs no hook at a destroy, as soon as it has been applied.
func TestTofuDisableWebhooks(t *testing.T) {
	l := newTofu(t)
	l.configure(2, "disable_webhooks = true")
	runs := harness.HookRuns(t.Context(), t, l.client)
	l.mustTofu("apply", "-auto-approve", "-target=helm_release.arc")
	l.configure(2) // not applied: the state decides
	l.mustTofu("destroy", "-auto-approve")
	if got := runs(); len(got) > 0 {
		t.Errorf("hooks ran: %v", got)
	}
	var crds []string
	for o := range l.everything() {
		if o.Resource == "customresourcedefinitions" && strings.HasSuffix(o.Name, ".actions.github.com") {
			crds = append(crds, o.Name)
		}
	}
	if len(crds) == 0 {
		t.Error("no CRD is left, so that this test proves nothing")
	}
}

// TestTofuPostRenderer: ARC's own charts with the post-renderer, on Helm 3's SDK.
func TestTofuPostRenderer(t *testing.T) {
	l := newTofu(t)
	configure := func(maxRunners int) {
		l.write(example+"/main.tf", fmt.Sprintf(`
resource "helm_release" "arc" {
  name             = "arc"
  namespace        = "arc-systems"
  create_namespace = true
  chart            = %q
  postrender       = { binary_path = "arc-postrender" }
}

resource "helm_release" "arc_runner_set" {
  name             = "arc-runner-set"
  namespace        = "arc-runners"
  create_namespace = true
  chart            = %q
  postrender       = { binary_path = "arc-postrender" }
  depends_on       = [helm_release.arc]

  values = [yamlencode({
    githubConfigUrl    = %q
    githubConfigSecret = { github_token = "not-a-token" }
    minRunners         = 1
    maxRunners         = %d
    controllerServiceAccount = { name = "arc-gha-rs-controller", namespace = "arc-systems" }
  })]
}
`, built.ARCChart(harness.ControllerChart), built.ARCChart(harness.ScaleSetChart), cl.GitHub().ConfigURL(), maxRunners))
	}
	runs := harness.HookRuns(t.Context(), t, l.client)
	for maxRunners := range 2 {
		configure(2 + maxRunners)
		l.mustTofu("apply", "-auto-approve")
		l.enrolled("arc", controllerNamespace)
		l.enrolled("arc-runner-set", runnerNamespace)
		l.lives()
		// What the enroller did is nothing to do for OpenTofu.
		l.mustTofu("plan", "-detailed-exitcode")
	}
	l.wants("arc-runner-set", runnerNamespace, 2, "deployed")
	l.mustTofu("destroy", "-auto-approve")
	l.gone(runs(), []string{scaleSetJob, controllerJob})
}
