package node

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"
)

// followTime is how often a log that is followed is looked at.
const followTime = 50 * time.Millisecond

// logsHandler serves what the API server asks a node for on behalf of
// `kubectl logs`. Times are not recorded, so neither timestamps nor since work.
func (n *Node) logsHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", func(w http.ResponseWriter, r *http.Request) {
		log, err := n.log(r.PathValue("namespace"), r.PathValue("pod"), r.PathValue("container"), r.FormValue("previous") == "true")
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		tail := -1
		if lines := r.FormValue("tailLines"); lines != "" {
			if tail, err = strconv.Atoi(lines); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		log.send(w, r, tail, r.FormValue("follow") == "true")
	})
	return mux
}

func (n *Node) log(namespace, name, containerName string, previous bool) (*runLog, error) {
	p, ok := n.pod(namespace, name)
	if !ok {
		return nil, fmt.Errorf("pod %s/%s is not on the node", namespace, name)
	}
	c := p.container(containerName)
	if c == nil {
		return nil, fmt.Errorf("pod %s/%s has no container %s", namespace, name, containerName)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	wanted := len(c.logs) - 1
	if previous {
		wanted--
	}
	if wanted < 0 && previous {
		return nil, fmt.Errorf("previous terminated container %q in pod %q not found", containerName, name)
	}
	if wanted < 0 {
		reason := "ContainerCreating"
		if c.status.State.Waiting != nil {
			reason = c.status.State.Waiting.Reason
		}
		return nil, fmt.Errorf("container %q in pod %q is waiting to start: %s", containerName, name, reason)
	}
	return c.logs[wanted], nil
}

func (l *runLog) send(w http.ResponseWriter, r *http.Request, tail int, follow bool) {
	file, err := os.Open(l.path)
	if errors.Is(err, os.ErrNotExist) {
		return // it could not be started
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer file.Close() //nolint:errcheck // it was only read
	if tail >= 0 {
		content, err := io.ReadAll(file)
		if err != nil {
			return
		}
		w.Write(lastLines(content, tail)) //nolint:errcheck // the client has gone
	}
	for {
		ended := false
		select {
		case <-l.ended:
			ended = true
		default:
		}
		if _, err := io.Copy(w, file); err != nil {
			return
		}
		if ended || !follow {
			return
		}
		http.NewResponseController(w).Flush() //nolint:errcheck // the client has gone
		select {
		case <-r.Context().Done():
			return
		case <-time.After(followTime):
		}
	}
}

func lastLines(content []byte, lines int) []byte {
	end := len(bytes.TrimSuffix(content, []byte("\n")))
	start := end
	for ; lines > 0 && start >= 0; lines-- {
		start = bytes.LastIndexByte(content[:start], '\n')
	}
	if lines == 0 && start == end {
		return nil
	}
	return content[start+1:]
}
