package cleanup

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/plan/plantest"
)

func TestRunWaitsForANamespace(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, kubetest.Stuck(kubetest.Whole(kubetest.Object("ns runners", kubetest.Deleting, kubetest.Finalizers("kubernetes")))...)...)
	a.React = func(a *kubetest.Server, request string) {
		// The namespace controller reacts a little later.
		if request == "PATCH role runners/set-manager" {
			time.AfterFunc(300*time.Millisecond, func() { a.Take("ns runners") })
		}
	}
	r := Run(t.Context(), c, graced(plantest.OfRelease, ample), quiet, Person{})
	if diff := cmp.Diff([]string{"role runners/set-manager", "secret runners/theirs"}, a.Left()); r.Verdict != plan.Done || diff != "" {
		t.Errorf("%s\nleft (-want +got):\n%s", r.Text(10), diff)
	}
}

func TestCRDsInstalledAgainAreNotDeletedAgain(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, kubetest.Stuck()...)
	runners := "crd ephemeralrunners." + arc.Group
	a.React = func(a *kubetest.Server, request string) {
		if request == "DELETE "+runners {
			it := kubetest.Whole(kubetest.Object(runners))[0]
			it.UID = types.UID("another")
			a.Put(it)
			a.Put(kubetest.Whole(kubetest.Object("er runners/new"))[0])
		}
	}
	r := Run(t.Context(), c, graced(plantest.OfRelease, ample), quiet, Person{})
	left := a.Left()
	if want := []string{runners, "er runners/new", "role runners/set-manager", "secret runners/theirs"}; r.Verdict != plan.Done || cmp.Diff(want, left) != "" {
		t.Errorf("%s\nleft: %q", r.Text(10), left)
	}
	if len(r.Kept) != 1 || r.Kept[0].Why != "they were installed again after this uninstall deleted them" {
		t.Errorf("kept %v", r.Kept)
	}
}
