package kube_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

const (
	patience = time.Second
	long     = 20 * time.Second
)

// pod returns a Pod, perhaps with finalizers.
func pod(name string, finalizers ...string) kubetest.Item {
	return kubetest.Whole(kubetest.Object("pod ns/"+name, kubetest.Finalizers(finalizers...)))[0]
}

// refuse lets the server answer everything with a code; 0: as always.
func refuse(a *kubetest.Server, code int) {
	a.Mu.Lock()
	defer a.Mu.Unlock()
	a.Fault = func(string) int { return code }
}

func selection() []kube.Selection { return []kube.Selection{{Resource: object.Pods, Namespace: "ns"}} }

func silent(int, []string) {}

// Of the last few objects the end is seen at once: the hook waits for four CRDs.
func TestWaitGoneIsQuickAboutAFew(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, pod("a"))
	gone := make(chan time.Time, 1)
	time.AfterFunc(5*kube.ProgressInterval/2, func() {
		gone <- time.Now()
		a.Take("pod ns/a")
	})
	if err := c.WaitGone(t.Context(), selection(), long, silent); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(<-gone); took > kube.ProgressInterval/2 {
		t.Errorf("seen %s after it went", took)
	}
	if kube.Pause(4) > 10*time.Millisecond || kube.Pause(20_000) != kube.ProgressInterval || kube.Pause(0) <= 0 {
		t.Errorf("it pauses for %s with 4 objects, %s with 20,000, %s with none", kube.Pause(4), kube.Pause(20_000), kube.Pause(0))
	}
}

func TestWaitGoneReturnsWhenTheLastObjectGoes(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t)
	for _, name := range []string{"a", "b", "c", "d"} {
		a.Put(pod(name))
	}
	var counts []int
	err := c.WaitGone(t.Context(), selection(), long, func(left int, names []string) {
		counts = append(counts, left)
		if left > 0 && len(names) != min(left, kube.Examples) {
			t.Errorf("%d left: names %q", left, names)
		}
		if left == 4 {
			go func() {
				for _, name := range []string{"a", "b", "c", "d"} {
					a.Take("pod ns/" + name)
				}
			}()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if counts[0] != 4 || counts[len(counts)-1] != 0 {
		t.Errorf("reported %v", counts)
	}
}

func TestWaitGoneLooksOnlyAtWhatIsSelected(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, pod("other"))
	err := c.WaitGone(t.Context(), []kube.Selection{{
		Resource: object.Pods, Namespace: "ns", Fields: "metadata.name=a",
		Match: func(m *metav1.PartialObjectMetadata) bool { return m.UID == "1" },
	}}, long, silent)
	if err != nil {
		t.Fatal(err)
	}
	a.Mu.Lock()
	defer a.Mu.Unlock()
	if len(a.Reads) == 0 {
		t.Error("nothing was read")
	}
	for _, read := range a.Reads {
		if !strings.HasSuffix(read, " metadata.name=a") {
			t.Errorf("no field selector in %q", read)
		}
	}
}

func TestWaitGoneOfNothing(t *testing.T) {
	t.Parallel()
	var counts []int
	_, c := kubetest.New(t)
	err := c.WaitGone(t.Context(), nil, patience, func(left int, _ []string) { counts = append(counts, left) })
	if diff := cmp.Diff([]int{0}, counts); err != nil || diff != "" {
		t.Errorf("error %v, reports %s", err, diff)
	}
}

func TestWaitGoneGivesUpWhenNothingMoves(t *testing.T) {
	t.Parallel()
	_, c := kubetest.New(t, pod("a", "example.com/f"))
	start := time.Now()
	err := c.WaitGone(t.Context(), selection(), patience, silent)
	if !errors.Is(err, kube.ErrStagnant) {
		t.Fatalf("error %v", err)
	}
	if !strings.Contains(err.Error(), "no progress for 1s: 1 object left") {
		t.Errorf("error %v", err)
	}
	if took := time.Since(start); took < patience || took > 10*patience {
		t.Errorf("took %s", took)
	}
}

// TestEveryStepTowardsTheEndIsProgress lets an object come nearer to its end,
// each step within the patience, all of them together not.
func TestEveryStepTowardsTheEndIsProgress(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, pod("a", "f/1", "f/2"))
	now := metav1.Now()
	deleting := pod("a", "f/1", "f/2")
	deleting.Deleted = &now
	freed := pod("a", "f/2")
	freed.Deleted = &now
	start := time.Now()
	err := c.WaitGone(t.Context(), selection(), patience, func(left int, _ []string) {
		if left == 0 {
			return
		}
		go func() {
			const pause = 3 * patience / 5
			time.Sleep(pause)
			a.Put(deleting)
			time.Sleep(pause)
			a.Put(freed)
			time.Sleep(pause)
			a.Take("pod ns/a")
		}()
	})
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took < 3*patience/2 {
		t.Errorf("took %s: the test proves nothing", took)
	}
}

func TestAnObjectThatOnlyChangesIsNoProgress(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, pod("a", "f/1"))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	err := c.WaitGone(ctx, selection(), patience, func(int, []string) {
		go func() {
			for i := 0; ctx.Err() == nil; i++ {
				o := pod("a", "f/1")
				o.Labels = map[string]string{"n": fmt.Sprint(i)}
				a.Put(o)
				time.Sleep(patience / 6)
			}
		}()
	})
	if !errors.Is(err, kube.ErrStagnant) {
		t.Fatalf("error %v", err)
	}
}

func TestAResourceThatVanishesIsGone(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, pod("a"))
	err := c.WaitGone(t.Context(), selection(), long, func(left int, _ []string) {
		if left == 1 {
			// As when its CRD goes: the watch ends, and there is nothing to list.
			refuse(a, http.StatusNotFound)
			a.EndWatches()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAResourceThatNeverWasIsGone(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t)
	refuse(a, http.StatusNotFound)
	if err := c.WaitGone(t.Context(), selection(), long, silent); err != nil {
		t.Fatal(err)
	}
}

func TestAWatchThatEndsIsBegunAnew(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, pod("a"))
	err := c.WaitGone(t.Context(), selection(), long, func(left int, _ []string) {
		if left == 1 {
			a.EndWatches()
			a.Take("pod ns/a")
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestWhatMayNotBeWatchedIsNoStagnation: a missing right must not look like a
// controller that does nothing, after which its finalizers would be removed.
func TestWhatMayNotBeWatchedIsNoStagnation(t *testing.T) {
	t.Parallel()
	start := time.Now()
	a, c := kubetest.New(t)
	refuse(a, http.StatusForbidden)
	err := c.WaitGone(t.Context(), selection(), long, silent)
	if !apierrors.IsForbidden(err) || errors.Is(err, kube.ErrStagnant) {
		t.Errorf("error %v", err)
	}
	if !strings.Contains(err.Error(), "watching pods in namespace ns: ") {
		t.Errorf("error %v", err)
	}
	if took := time.Since(start); took > long/2 {
		t.Errorf("took %s, want it said at once", took)
	}
}

func TestWhatCannotBeReadIsNoStagnation(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t)
	refuse(a, http.StatusMethodNotAllowed)
	err := c.WaitGone(t.Context(), selection(), patience, silent)
	if !apierrors.IsMethodNotSupported(err) || errors.Is(err, kube.ErrStagnant) {
		t.Errorf("error %v", err)
	}
}

// TestAnOutageIsNoStagnation: while the API server is away no controller can get
// on, so its patience does not run.
func TestAnOutageIsNoStagnation(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, pod("a"))
	err := c.WaitGone(t.Context(), selection(), patience, func(left int, _ []string) {
		if left == 0 {
			return
		}
		refuse(a, http.StatusServiceUnavailable)
		time.AfterFunc(2*patience, func() {
			refuse(a, 0)
			a.Take("pod ns/a")
		})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestWaitGoneReturnsTheCauseOfTheContext(t *testing.T) {
	t.Parallel()
	_, c := kubetest.New(t, pod("a"))
	ctx, cancel := context.WithCancelCause(t.Context())
	budget := errors.New("the budget")
	err := c.WaitGone(ctx, selection(), long, func(int, []string) { cancel(budget) })
	if !errors.Is(err, budget) {
		t.Errorf("error %v", err)
	}
}
