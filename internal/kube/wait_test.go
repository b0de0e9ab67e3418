package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// watchable is an API server with one resource that can be listed and watched.
// It does not know the streaming of lists, like API servers before 1.32.
type watchable struct {
	mu      sync.Mutex
	objects []metav1.PartialObjectMetadata
	version int
	failure *reply // answers everything, when set
	streams []chan event
	queries []string
}

type event struct {
	Type   string                       `json:"type"`
	Object metav1.PartialObjectMetadata `json:"object"`
}

func (s *watchable) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.queries = append(s.queries, r.URL.RawQuery)
	failing, q := s.failure, r.URL.Query()
	if failing != nil {
		s.mu.Unlock()
		respond(w, *failing)
		return
	}
	if q.Get("watch") == "" {
		l := page("")
		items := l.body.(metav1.PartialObjectMetadataList)
		items.Items, items.ResourceVersion = slices.Clone(s.objects), fmt.Sprint(s.version)
		s.mu.Unlock()
		respond(w, reply{code: http.StatusOK, body: items})
		return
	}
	if q.Get("sendInitialEvents") != "" {
		s.mu.Unlock()
		respond(w, invalid)
		return
	}
	stream := make(chan event, 10)
	s.streams = append(s.streams, stream)
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush()
	for {
		select {
		case <-r.Context().Done():
			return
		case e, ok := <-stream:
			if !ok {
				return
			}
			_ = json.NewEncoder(w).Encode(e)
			_ = http.NewResponseController(w).Flush()
		}
	}
}

// set puts an object into the place of the one with its name; gone takes it away.
func (s *watchable) set(o metav1.PartialObjectMetadata, gone bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	o.ResourceVersion = fmt.Sprint(s.version)
	s.objects = slices.DeleteFunc(s.objects, func(x metav1.PartialObjectMetadata) bool { return x.Name == o.Name })
	kind := "DELETED"
	if !gone {
		s.objects = append(s.objects, o)
		kind = "MODIFIED"
	}
	for _, stream := range s.streams {
		stream <- event{kind, o}
	}
}

// breakWatches ends every watch; clients have to begin new ones.
func (s *watchable) breakWatches() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, stream := range s.streams {
		close(stream)
	}
	s.streams = nil
}

func (s *watchable) fail(r reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failure = &r
}

const (
	patience = time.Second
	long     = 20 * time.Second
)

func selection() []Selection { return []Selection{{Resource: things, Namespace: "ns"}} }

func silent(int, []string) {}

// Of the last few objects the end is seen at once: the hook waits for four CRDs.
func TestWaitGoneIsQuickAboutAFew(t *testing.T) {
	t.Parallel()
	s := &watchable{version: 1}
	s.set(partial("a", "1"), false)
	c := connect(t, s)
	gone := make(chan time.Time, 1)
	time.AfterFunc(5*progressInterval/2, func() {
		gone <- time.Now()
		s.set(partial("a", "1"), true)
	})
	if err := c.WaitGone(t.Context(), selection(), long, silent); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(<-gone); took > progressInterval/2 {
		t.Errorf("seen %s after it went", took)
	}
	if pause(4) > 10*time.Millisecond || pause(20_000) != progressInterval || pause(0) <= 0 {
		t.Errorf("it pauses for %s with 4 objects, %s with 20,000, %s with none", pause(4), pause(20_000), pause(0))
	}
}

func TestWaitGoneReturnsWhenTheLastObjectGoes(t *testing.T) {
	t.Parallel()
	s := &watchable{version: 1}
	for _, name := range []string{"a", "b", "c", "d"} {
		s.set(partial(name, "1"), false)
	}
	c := connect(t, s)
	var counts []int
	err := c.WaitGone(t.Context(), selection(), long, func(left int, names []string) {
		counts = append(counts, left)
		if left > 0 && len(names) != min(left, examples) {
			t.Errorf("%d left: names %q", left, names)
		}
		if left == 4 {
			go func() {
				for _, name := range []string{"a", "b", "c", "d"} {
					s.set(partial(name, "1"), true)
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
	s := &watchable{version: 1}
	s.set(partial("other", "2"), false)
	c := connect(t, s)
	err := c.WaitGone(t.Context(), []Selection{{
		Resource: things, Namespace: "ns", Fields: "metadata.name=a",
		Match: func(m *metav1.PartialObjectMetadata) bool { return m.UID == "1" },
	}}, long, silent)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range s.queries {
		if values, err := url.ParseQuery(q); err != nil || values.Get("fieldSelector") != "metadata.name=a" {
			t.Errorf("no field selector in %s", q)
		}
	}
}

func TestWaitGoneOfNothing(t *testing.T) {
	t.Parallel()
	var counts []int
	err := connect(t, &watchable{}).WaitGone(t.Context(), nil, patience, func(left int, _ []string) { counts = append(counts, left) })
	if diff := cmp.Diff([]int{0}, counts); err != nil || diff != "" {
		t.Errorf("error %v, reports %s", err, diff)
	}
}

func TestWaitGoneGivesUpWhenNothingMoves(t *testing.T) {
	t.Parallel()
	s := &watchable{version: 1}
	s.set(partial("a", "1", "example.com/f"), false)
	start := time.Now()
	err := connect(t, s).WaitGone(t.Context(), selection(), patience, silent)
	if !errors.Is(err, ErrStagnant) {
		t.Fatalf("error %v", err)
	}
	check(t, err, "no progress for 1s: 1 objects left")
	if took := time.Since(start); took < patience || took > 10*patience {
		t.Errorf("took %s", took)
	}
}

// TestEveryStepTowardsTheEndIsProgress lets an object come nearer to its end,
// each step within the patience, all of them together not.
func TestEveryStepTowardsTheEndIsProgress(t *testing.T) {
	t.Parallel()
	s := &watchable{version: 1}
	s.set(partial("a", "1", "f/1", "f/2"), false)
	now := metav1.Now()
	deleting := partial("a", "1", "f/1", "f/2")
	deleting.DeletionTimestamp = &now
	freed := partial("a", "1", "f/2")
	freed.DeletionTimestamp = &now
	start := time.Now()
	err := connect(t, s).WaitGone(t.Context(), selection(), patience, func(left int, _ []string) {
		if left == 0 {
			return
		}
		go func() {
			const pause = 3 * patience / 5
			time.Sleep(pause)
			s.set(deleting, false)
			time.Sleep(pause)
			s.set(freed, false)
			time.Sleep(pause)
			s.set(freed, true)
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
	s := &watchable{version: 1}
	s.set(partial("a", "1", "f/1"), false)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	err := connect(t, s).WaitGone(ctx, selection(), patience, func(int, []string) {
		go func() {
			for i := 0; ctx.Err() == nil; i++ {
				o := partial("a", "1", "f/1")
				o.Labels = map[string]string{"n": fmt.Sprint(i)}
				s.set(o, false)
				time.Sleep(patience / 6)
			}
		}()
	})
	if !errors.Is(err, ErrStagnant) {
		t.Fatalf("error %v", err)
	}
}

func TestAResourceThatVanishesIsGone(t *testing.T) {
	t.Parallel()
	s := &watchable{version: 1}
	s.set(partial("a", "1"), false)
	err := connect(t, s).WaitGone(t.Context(), selection(), long, func(left int, _ []string) {
		if left == 1 {
			// As when its CRD goes: the watch ends, and there is nothing to list.
			s.fail(notFound)
			s.breakWatches()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAResourceThatNeverWasIsGone(t *testing.T) {
	t.Parallel()
	s := &watchable{failure: &notFound}
	if err := connect(t, s).WaitGone(t.Context(), selection(), long, silent); err != nil {
		t.Fatal(err)
	}
}

func TestAWatchThatEndsIsBegunAnew(t *testing.T) {
	t.Parallel()
	s := &watchable{version: 1}
	s.set(partial("a", "1"), false)
	err := connect(t, s).WaitGone(t.Context(), selection(), long, func(left int, _ []string) {
		if left == 1 {
			s.breakWatches()
			s.set(partial("a", "1"), true)
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
	err := connect(t, &watchable{failure: &forbidden}).WaitGone(t.Context(), selection(), long, silent)
	if !apierrors.IsForbidden(err) || errors.Is(err, ErrStagnant) {
		t.Errorf("error %v", err)
	}
	check(t, err, "watching things.example.com in namespace ns: ")
	if took := time.Since(start); took > long/2 {
		t.Errorf("took %s, want it said at once", took)
	}
}

func TestWhatCannotBeReadIsNoStagnation(t *testing.T) {
	t.Parallel()
	gone := failure(http.StatusMethodNotAllowed, metav1.StatusReasonMethodNotAllowed)
	err := connect(t, &watchable{failure: &gone}).WaitGone(t.Context(), selection(), patience, silent)
	if !apierrors.IsMethodNotSupported(err) || errors.Is(err, ErrStagnant) {
		t.Errorf("error %v", err)
	}
}

// TestAnOutageIsNoStagnation: while the API server is away no controller can get
// on, so its patience does not run.
func TestAnOutageIsNoStagnation(t *testing.T) {
	t.Parallel()
	s := &watchable{version: 1}
	s.set(partial("a", "1"), false)
	away := failure(http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable)
	err := connect(t, s).WaitGone(t.Context(), selection(), patience, func(left int, _ []string) {
		if left == 0 {
			return
		}
		s.fail(away)
		time.AfterFunc(2*patience, func() {
			s.mu.Lock()
			s.failure = nil
			s.mu.Unlock()
			s.set(partial("a", "1"), true)
		})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestWaitGoneReturnsTheCauseOfTheContext(t *testing.T) {
	t.Parallel()
	s := &watchable{version: 1}
	s.set(partial("a", "1"), false)
	ctx, cancel := context.WithCancelCause(t.Context())
	budget := errors.New("the budget")
	err := connect(t, s).WaitGone(ctx, selection(), long, func(int, []string) { cancel(budget) })
	if !errors.Is(err, budget) {
		t.Errorf("error %v", err)
	}
}

// TestWaitGoneSaysAtWhatItStood: what was not seen when the time was over is why it was
// waited for, whether there was an error or no answer at all.
func TestWaitGoneSaysAtWhatItStood(t *testing.T) {
	t.Parallel()
	silence := make(chan struct{})
	t.Cleanup(func() { close(silence) })
	for name, test := range map[string]struct {
		server http.Handler
		want   string
	}{
		"an error": {http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			respond(w, reply{code: http.StatusInternalServerError, body: metav1.Status{Status: metav1.StatusFailure, Code: 500, Reason: metav1.StatusReasonInternalError, Message: "etcd"}})
		}), "watching things.example.com in namespace ns: failed to list"},
		"no answer": {http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-silence:
			case <-r.Context().Done():
			}
		}), "watching things.example.com in namespace ns: no answer yet"},
	} {
		t.Run(name, func(t *testing.T) {
			budget := errors.New("the budget")
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, budget)
			defer cancel()
			err := connect(t, test.server).WaitGone(ctx, selection(), long, silent)
			if !errors.Is(err, budget) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want the budget and %q", err, test.want)
			}
		})
	}
}
