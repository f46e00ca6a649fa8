// The same two servers on gnet, one loop: yardstick_gnet -port P [-echo].
package main

import (
	"bytes"
	"flag"
	"fmt"
	"log"

	"github.com/panjf2000/gnet/v2"
)

var answer = []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: 5\r\n\r\nHello")
var end = []byte("\r\n\r\n")

type server struct {
	gnet.BuiltinEventEngine
	echo bool
}

func (s *server) OnTraffic(c gnet.Conn) gnet.Action {
	in, _ := c.Peek(-1)
	if s.echo {
		c.Write(in)
		c.Discard(len(in))
		return gnet.None
	}
	used := 0
	for {
		at := bytes.Index(in[used:], end)
		if at < 0 {
			break
		}
		used += at + 4
		c.Write(answer)
	}
	c.Discard(used)
	return gnet.None
}

func main() {
	port := flag.Int("port", 0, "port")
	echo := flag.Bool("echo", false, "echo instead of HTTP")
	flag.Parse()
	log.Fatal(gnet.Run(&server{echo: *echo}, fmt.Sprintf("tcp://127.0.0.1:%d", *port),
		gnet.WithMulticore(false), gnet.WithNumEventLoop(1), gnet.WithTCPNoDelay(gnet.TCPNoDelay)))
}
