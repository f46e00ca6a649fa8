// The same two servers on evio, one loop: yardstick_evio -port P [-echo].
package main

import (
	"bytes"
	"flag"
	"fmt"
	"log"

	"github.com/tidwall/evio"
)

const answer = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: 5\r\n\r\nHello"

func main() {
	port := flag.Int("port", 0, "port")
	echo := flag.Bool("echo", false, "echo instead of HTTP")
	flag.Parse()

	end, whole := []byte("\r\n\r\n"), []byte(answer)
	var events evio.Events
	events.NumLoops = 1
	events.Opened = func(c evio.Conn) (out []byte, opts evio.Options, action evio.Action) {
		c.SetContext(&evio.InputStream{})
		opts.ReuseInputBuffer = true
		return
	}
	events.Data = func(c evio.Conn, in []byte) (out []byte, action evio.Action) {
		if in == nil {
			return
		}
		if *echo {
			return in, evio.None
		}
		is := c.Context().(*evio.InputStream)
		data := is.Begin(in)
		for {
			at := bytes.Index(data, end)
			if at < 0 {
				break
			}
			data = data[at+4:]
			if out == nil {
				out = whole
			} else {
				out = append(append([]byte{}, out...), whole...)
			}
		}
		is.End(data)
		return
	}
	log.Fatal(evio.Serve(events, fmt.Sprintf("tcp://127.0.0.1:%d", *port)))
}
