package survey

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

// servedPatience is how long the API server may go on saying that it serves what it
// does not find: of a CRD that has just gone, for a second or so.
const servedPatience = 5 * time.Second

// servedEvery is how often it is asked.
const servedEvery = 500 * time.Millisecond

// distrust looks twice at what was not found. That is the answer for a resource whose
// CRD is gone, but also for one that is not served yet, or in another version only:
// only together with the CRD's absence, or what the API server says that it serves,
// it means absent.
func (r *reading) distrust(group string) {
	var doubtful []string
	for name := range r.absent {
		// A CRD that is not found, of objects that are.
		if crd, is := strings.CutPrefix(name, crdPrefix); is && !r.absent[crd] {
			doubtful = append(doubtful, strings.TrimSuffix(crd, "."+group))
			continue
		}
		read := r.absent[crdPrefix+name] || slices.ContainsFunc(r.s.CRDs, func(crd *object.Object) bool { return crd.Name == name })
		if resource, of := strings.CutSuffix(name, "."+group); of && !strings.HasPrefix(name, crdPrefix) && !read {
			doubtful = append(doubtful, resource)
		}
	}
	for end := time.Now().Add(servedPatience); len(doubtful) > 0; {
		served, err := r.c.Served(r.ctx, group)
		if err != nil {
			r.s.Unknown = append(r.s.Unknown, plan.Unknown{What: "whether " + group + " is served", Err: err})
			return
		}
		doubtful = slices.DeleteFunc(doubtful, func(resource string) bool { return len(served[resource]) == 0 })
		if len(doubtful) == 0 {
			return
		}
		if time.Now().After(end) {
			for _, resource := range doubtful {
				r.s.Unknown = append(r.s.Unknown, plan.Unknown{What: resource + "." + group, Err: fmt.Errorf("not found, though the API server says that it serves it in the versions %s", strings.Join(served[resource], ", "))})
			}
			return
		}
		select {
		case <-r.ctx.Done():
			r.s.Unknown = append(r.s.Unknown, plan.Unknown{What: "whether " + group + " is served", Err: context.Cause(r.ctx)})
			return
		case <-time.After(servedEvery):
		}
	}
}
