// Package tap says results in the Test Anything Protocol, as far as runtime-tools asks for it.
package tap

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
)

// T counts results and writes them.
type T struct {
	count  *int
	lock   *sync.Mutex
	todo   bool
	Writer io.Writer
}

// New writes to standard output.
func New() *T { return &T{count: new(int), lock: new(sync.Mutex), Writer: os.Stdout} }

func (t *T) out(format string, a ...interface{}) {
	w := t.Writer
	if w == nil {
		w = os.Stdout
	}
	fmt.Fprintf(w, format, a...)
}

// Header says the version and, if it is known, the number of results to come.
func (t *T) Header(plan int) {
	t.out("TAP version 13\n")
	if plan > 0 {
		t.out("1..%d\n", plan)
	}
}

// AutoPlan says how many results there were.
func (t *T) AutoPlan() { t.out("1..%d\n", *t.count) }

// Ok says one result.
func (t *T) Ok(test bool, description string) {
	t.lock.Lock()
	defer t.lock.Unlock()
	*t.count++
	word, todo := "ok", ""
	if !test {
		word = "not ok"
	}
	if t.todo {
		todo = strings.ToUpper(" # todo")
	}
	t.out("%s %d%s - %s\n", word, *t.count, todo, description)
}

// Pass and Fail are results that are known.
func (t *T) Pass(description string) { t.Ok(true, description) }
func (t *T) Fail(description string) { t.Ok(false, description) }

// Skip says so many results that were not asked for.
func (t *T) Skip(count int, description string) {
	t.lock.Lock()
	defer t.lock.Unlock()
	for i := 0; i < count; i++ {
		*t.count++
		t.out("ok %d # SKIP %s\n", *t.count, description)
	}
}

// Todo is the same run, with results that may be bad.
func (t *T) Todo() *T { c := *t; c.todo = true; return &c }

// Diagnostic and Diagnosticf are remarks.
func (t *T) Diagnostic(message string) {
	t.out("# %s\n", strings.Replace(message, "\n", "\n# ", -1))
}
func (t *T) Diagnosticf(format string, a ...interface{}) { t.Diagnostic(fmt.Sprintf(format, a...)) }

// YAML is a remark with structure (JSON is YAML).
func (t *T) YAML(message interface{}) error {
	text, err := json.MarshalIndent(message, "  ", "  ")
	if err == nil {
		t.out("  ---\n  %s\n  ...\n", text)
	}
	return err
}
