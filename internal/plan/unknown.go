package plan

import (
	"errors"
	"net/url"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// MergeUnknown returns failed reads with those in one that have the same cause: after the connection to the
// API server breaks, every list fails in the same way, and you want to read the reason once.
func MergeUnknown(all []Unknown) []Unknown {
	var out []Unknown
	at := map[string]int{}
	for _, u := range all {
		cause := shared(u.Err)
		if cause == nil {
			out = append(out, u)
			continue
		}
		i, seen := at[cause.Error()]
		if !seen {
			at[cause.Error()] = len(out)
			out = append(out, u)
			continue
		}
		if what := strings.Split(out[i].What, ", "); !slices.Contains(what, u.What) {
			out[i] = Unknown{What: out[i].What + ", " + u.What, Err: cause}
		}
	}
	return out
}

// shared returns what an error has in common with those of other reads: the broken connection, or no time. It
// returns nil if the API server has answered, because each answer is about one read.
func shared(err error) error {
	var (
		request *url.Error
		answer  apierrors.APIStatus
	)
	switch {
	case errors.As(err, &answer): // perhaps beside a broken connection: one error may be of several reads
		return nil
	case errors.Is(err, ErrNotAsked):
		return ErrNotAsked
	case errors.As(err, &request):
		return request.Err
	}
	return nil
}
