package fakecloud

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"time"
)

// deliveryBuffer bounds what is written at once.
const deliveryBuffer = packageBlock

// flow is how a body goes out. The zero value sends it at once and whole.
type flow struct {
	// rate is in bytes a second; 0 has no limit.
	rate int64
	// stop is after how many bytes the body stops, if stops is set: for ever, for a pause, or with the connection.
	stops bool
	stop  int64
	hang  bool
	pause time.Duration
}

// delivering is a body on its way.
type delivering struct {
	server  *Server
	w       http.ResponseWriter
	control *http.ResponseController
	call    *call
	flow    flow
	chunked bool
	length  int64
	sent    int64
	began   time.Time
}

func (rep reply) length() int64 {
	if rep.stream != nil {
		return rep.stream.size
	}
	return int64(len(rep.body))
}

func (rep reply) reader() io.Reader {
	if rep.stream != nil {
		return rep.stream.reader()
	}
	return bytes.NewReader(rep.body)
}

// deliverBody sends the body of a reply whose headers are set, and keeps the journal in step: it is never behind what
// the client has seen.
func (s *Server) deliverBody(ctx context.Context, w http.ResponseWriter, c *call, rep reply, f flow) {
	d := &delivering{
		server: s, w: w, control: http.NewResponseController(w), call: c, flow: f, chunked: rep.chunked,
		length: rep.length(), began: time.Now(),
	}
	d.note(0)
	w.WriteHeader(rep.status)
	if rep.chunked {
		// net/http measures a short body by itself, unless some of the reply is out already.
		d.flush()
	}
	body := rep.reader()
	stop := d.length
	if f.stops {
		stop = min(f.stop, d.length)
	}
	if !d.write(ctx, body, stop) || !f.stops {
		return
	}
	d.flush()
	switch {
	case f.hang && f.pause == 0:
		<-ctx.Done()
		panic(http.ErrAbortHandler)
	case !f.hang:
		panic(http.ErrAbortHandler)
	}
	if wait(ctx, f.pause) == nil {
		d.write(ctx, body, d.length)
	}
}

// write sends the body up to an offset, and reports whether the client was there to take it.
func (d *delivering) write(ctx context.Context, body io.Reader, until int64) bool {
	piece := int64(deliveryBuffer)
	if d.flow.rate > 0 {
		piece = min(max(d.flow.rate/50, 1), piece)
	}
	buffer := make([]byte, min(piece, until-d.sent))
	for d.sent < until {
		n, err := io.ReadFull(body, buffer[:min(int64(len(buffer)), until-d.sent)])
		if err != nil {
			return false
		}
		d.note(int64(n))
		taken, err := d.w.Write(buffer[:n])
		d.sent += int64(taken)
		if err != nil {
			d.note(0)
			return false // the client went away, which is no concern of the server's
		}
		if d.flow.rate > 0 && !d.keepRate(ctx) {
			return false
		}
	}
	return true
}

func (d *delivering) keepRate(ctx context.Context) bool {
	d.flush()
	due := d.began.Add(time.Duration(float64(d.sent) / float64(d.flow.rate) * float64(time.Second)))
	return wait(ctx, time.Until(due)) == nil
}

// flush fails when the client is gone, which the next write finds out as well, or when there is no network.
func (d *delivering) flush() {
	if err := d.control.Flush(); err != nil {
		return
	}
}

// note tells the journal what has been sent, and what is about to be.
func (d *delivering) note(more int64) {
	if !d.call.huawei() {
		return
	}
	endless := d.chunked && d.flow.stops && d.flow.pause == 0
	sent := d.sent + more
	d.server.mu.Lock()
	defer d.server.mu.Unlock()
	if e := d.server.journal.entry(d.call.seq); e != nil {
		e.BytesSent, e.Completed = sent, sent == d.length && !endless
	}
}
