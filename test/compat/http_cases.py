"""HTTP/1.1 messages, right, odd and wrong, from a grammar and from mutations of what it makes.

Everything comes from the random.Random that is passed in: the same seed makes the same cases.
"""
METHODS = [b"GET"] * 8 + [b"POST"] * 8 + [b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"CONNECT", b"TRACE", b"PROPFIND"]
ODD_METHODS = [b"get", b"FROB", b"G@T", b"GE T", b"", b"PRI", b"POST\t", b"\x00GET", b"M-SEARCH"]
TARGETS = [b"/", b"/a/b?c=d&e", b"/%20%zz", b"//a", b"/a/../b;c", b"/?", b"/a?b?c", b"/|{}^`\"\\<>", b"/[x]:80@y"]
ODD_TARGETS = [b"http://h/x?y", b"HTTP://h:8", b"https://h/", b"http://h?x", b"http://u@h/", b"http:///x", b"*", b"h:80", b"a",
               b"/a#b", b"/\xc3\xa4", b"/a b", b"/a\tb", b"/\x7f", b"", b"ftp://h/x", b"http://[::1]:80/", b"/\x00", b"/" + b"x" * 300]
ODD_VERSIONS = [b"HTTP/1.0"] * 4 + [b"HTTP/1.2", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.10", b"HTTP/1", b"http/1.1", b"HTTP/1.1 ", b"HTTP /1.1",
                                    b"HTTP/01.1", b"HTTP/1,1", b"", b"HTPP/1.1"]
HOSTS = [b"Host: a", b"host: example.org:8080", b"Host: [::1]", b"HOST:a"]
ODD_HOSTS = [b"Host:", b"Host: a, b", b"Host: a/b", b"Host: u@b", b"Host: a b", b"Host : a", b"Host\t: a", b" Host: a", b"Host: a\r\nHost: a",
             b"Host: a\r\nHost: b", b"X: y", b"Host: \xc3\xa4", b"Host: a#b", b"Host: a?b"]
FIELDS = [b"Accept: */*", b"X-Empty:", b"X-Spaces:  \t a \t b \t ", b"Cookie: a=b; c=\"d\"", b"X-High: \x80\xff\xc3\xa4", b"!#$%&'*+-.^_`|~: x",
          b"Connection: keep-alive", b"Connection: close", b"Connection: x-hop, te", b"X-Hop: 1", b"TE: trailers", b"Trailer: x-sum",
          b"Expect: 100-continue", b"User-Agent: a/1 (b; c)", b"Range: bytes=0-", b"X-Colon: a:b:c", b"x:" + b"y" * 200, b"Accept: a\r\nAccept: b",
          b"Upgrade: h2c", b"Connection: Upgrade", b"Upgrade: websocket\r\nConnection: Upgrade", b"Keep-Alive: timeout=5", b"Proxy-Connection: close"]
ODD_FIELDS = [b"X : y", b"X\t: y", b" X: y", b"\tX: y", b"X", b": y", b"X y: z", b"X: a\r\n b", b"X: a\r\n\tb", b"X: a\x00b", b"X\x00: y",
              b"X: a\x0bb", b"X\x0b: y", b"X: \x0c", b"X: a\rb", b"X: a\nY: b", b"X\x80: y", b"X(: y", b"X: \x7f", b"Expect: other",
              b"X: \x01", b"X:\x0by", b"X;: y", b"X/: y", b"\"X\": y", b"X:: y", b"X: a\r\r\nY: b", b"X: a\n\rY: b"]
LENGTHS = [b"%d", b"%d", b"00%d", b"%d ", b"%d  ", b"\t%d"]
ODD_LENGTHS = [b"%d\t", b"%d \t ", b"+%d", b"-%d", b"0x%d", b"%d, %d", b"%d,%d", b"%d %d", b"%d;", b"\"%d\"", b"%d.0", b"%de0", b"", b"18446744073709551616", b"%d\x0b",
               b"%d\x00", b"9223372036854775808", b"999999999999999999", b",%d", b"%d,", b"0%d_0", b"\xef\xbc\x95"]
CODINGS = [b"chunked"] * 6 + [b"Chunked", b"CHUNKED", b"chunked ", b" \t chunked  "]
ODD_CODINGS = [b"chunked\t", b"chunked \t", b"chunked, identity", b"identity, chunked", b"gzip, chunked", b"chunked, chunked", b"identity", b"xchunked", b"chunked;q=1", b"\"chunked\"",
               b"chunked,", b",chunked", b"chunke", b"chun ked", b"\x0bchunked", b"chunked\x00", b"chunked\x0b", b"'chunked'", b"", b"gzip",
               b"chunked\r\n , identity", b"\r\n chunked", b"chunked\xa0"]
CODING_NAMES = [b"Transfer-Encoding:"] * 4 + [b"transfer-encoding:", b"TRANSFER-ENCODING: "]
ODD_CODING_NAMES = [b"Transfer-Encoding :", b"Transfer-Encoding\t:", b" Transfer-Encoding:", b"Transfer_Encoding:", b"Transfer-Encoding\x00:",
                    b"Transfer-Encoding", b"Transfer Encoding:", b"X: y\nTransfer-Encoding:", b"Transfer-Encodin\xc7:"]
EXTENSIONS = [b";x", b";x=y", b";x=\"y z\"", b";x;y=z"]
ODD_EXTENSIONS = [b" ", b";", b";=", b";x=", b"; x", b" ;x", b";x =y", b";x= y", b";x=\"y", b";x=\"a\\\"b\"", b";x=\"a\nb\"", b";\n", b"\t", b";x\x00",
                  b";\x80", b";x=y\r", b"\x0b", b";" + b"x" * 300, b";x=\"y\"z", b";x=y;", b";x\r\r", b",x", b"x", b";a b", b";x=\"\x80\"", b";{}"]
TRAILERS = [b"X-Sum: 1", b"x-two: a b", b"X-High: \xff"]
ODD_TRAILERS = [b"Content-Length: 3", b"Transfer-Encoding: chunked", b"Host: b", b"X : y", b" X: y", b"X", b"X: a\nY: b", b"X: \x00", b": x",
                b"X: a\r\n b", b"Authorization: x"]
STATUSES = [b"200 OK"] * 8 + [b"404 Not Found", b"500 ", b"204 No Content", b"304 Not Modified", b"201 \xc3\xa4", b"299 a b\tc", b"418"]
ODD_STATUSES = [b"099 X", b"600 X", b"1000 X", b"20 X", b"2x0 X", b" 200 X", b"200  X", b"200\tX", b"200 X\x00", b"200 X\x01", b"-20 X", b"", b"200 X\rY",
                b"101 Switching Protocols", b"100 Continue", b"999 X"]
OCTETS = [bytes([c]) for c in b"\0\t\v\f\r\n :;,\x7f\x80\xff\"=+_-0x\\/#()[]{}\x01\x1f\xa0"] + [b"\r\n", b"\n\r", b"\r\r\n", b"\r\n ", b"\r\n\t", b"\n\n", b"\r\n\r\n"]


def either(rng, good, odd, chance):
    return rng.choice(odd if rng.random() < chance else good)


def chunked(rng, odd):
    """A chunked body; `odd` is the chance of each of its parts to be unusual."""
    out = []
    for _ in range(rng.choice([0, 1, 1, 2, 3])):
        data = bytes(rng.choice(b"abc\r\n0 GET/") for _ in range(rng.choice([1, 2, 5, 10, 16, 31])))
        size = rng.choice([b"%x", b"%X", b"0%x", b"000%x"]) % len(data)
        if rng.random() < odd:
            size = rng.choice([b"0x", b"+", b"-", b" ", b"", b"g", b"\t", b"1", b"ffffffffffffffff", b"_"]) + size
        extension = b"" if rng.random() > 0.2 + odd else either(rng, EXTENSIONS, ODD_EXTENSIONS, odd * 3)
        end, after = (rng.choice([b"\n", b"\r", b"\r\r\n", b"\n\r", b" \r\n", b""]) if rng.random() < odd / 2 else b"\r\n" for _ in range(2))
        out.append(size + extension + end + data + after)
    last = rng.choice([b"00", b"0;x", b"0 ", b"0x0", b"000000000000000000000", b"-0", b"", b"0;"]) if rng.random() < odd else b"0"
    out.append(last + (rng.choice([b"\n", b"\r", b""]) if rng.random() < odd / 2 else b"\r\n"))
    for _ in range(rng.choice([0, 0, 0, 1, 2])):
        out.append(either(rng, TRAILERS, ODD_TRAILERS, odd) + b"\r\n")
    out.append(rng.choice([b"\n", b"\r", b"", b"\n\r\n", b"\r\r\n", b" \r\n"]) if rng.random() < odd else b"\r\n")
    return b"".join(out)


def framing(rng, odd):
    """Header lines that frame a body, and the body."""
    plain = bytes(rng.choice(b"abc\r\n0 GET/") for _ in range(rng.choice([0, 1, 3, 5, 12])))
    count = max(0, len(plain) + (rng.choice([-1, 1, 40]) if rng.random() < odd else 0))
    pattern = either(rng, LENGTHS, ODD_LENGTHS, odd)
    length = b"Content-Length: " + pattern.replace(b"%d", b"%d" % count)
    coding = either(rng, CODING_NAMES, ODD_CODING_NAMES, odd) + either(rng, CODINGS, ODD_CODINGS, odd)
    kind = rng.random()
    if kind < 0.25:
        return [], b""
    if kind < 0.55:
        return [length], plain
    if kind < 1 - odd / 2:
        return [coding], chunked(rng, odd)
    return rng.choice([[length, coding], [coding, length], [length, length], [coding, coding], [length, b"Content-Length: 0"],
                       [b"Transfer-Encoding: identity", length]]), rng.choice([plain, chunked(rng, odd)])


def mutate(rng, message):
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        at, kind = rng.randrange(len(message) + 1), rng.random()
        if rng.random() < 0.4:  # where it matters: beside a separator
            places = [i for i, c in enumerate(message) if c in b"\r\n: ,;"]
            at = rng.choice(places) + rng.randrange(2) if places else at
        if kind < 0.45:
            message = message[:at] + rng.choice(OCTETS) + message[at:]
        elif kind < 0.65:
            message = message[:at] + rng.choice(OCTETS) + message[at + 1:]
        elif kind < 0.8:
            message = message[:at] + message[at + rng.choice([1, 1, 2, 4]):]
        elif kind < 0.9:
            lines = message.split(b"\r\n")
            lines.insert(rng.randrange(len(lines)), rng.choice(lines))
            message = b"\r\n".join(lines)
        else:
            lines = message.split(b"\r\n")
            i = rng.randrange(len(lines))
            message = b"\r\n".join(lines[:i]) + rng.choice([b"\n", b"\r", b"\n\r", b"\r\r\n"]) + b"\r\n".join(lines[i:])
    return message


def message(rng, first, fields, odd):
    framed, body = framing(rng, odd)
    fields = fields + framed
    if len(fields) > 1 and rng.random() < 0.7:
        rng.shuffle(fields)
    return b"\r\n".join([first, *fields, b"", b""]) + body


def oddness(rng):
    return rng.choice([0, 0, 0.03, 0.1, 0.3])


def request(rng):
    odd = oddness(rng)
    method = either(rng, METHODS, ODD_METHODS, odd)
    target = either(rng, [b"h:443"] if method == b"CONNECT" else TARGETS, ODD_TARGETS, odd)
    if odd and method == b"OPTIONS" and rng.random() < 0.5:
        target = b"*"
    version = either(rng, [b"HTTP/1.1"] * 9 + [b"HTTP/1.0"], ODD_VERSIONS, odd)
    fields = [either(rng, HOSTS, ODD_HOSTS, odd)]
    fields += [either(rng, FIELDS, ODD_FIELDS, odd) for _ in range(rng.choice([0, 1, 1, 2, 4]))]
    space = rng.choice([b"  ", b"\t", b"\x0b"]) if rng.random() < odd / 4 else b" "
    out = message(rng, method + space + target + b" " + version, fields, odd)
    return mutate(rng, out) if rng.random() < 0.35 else out


def requests(rng):
    """What one client sends: a request or two, and then a canary that none of them may swallow or change."""
    return b"".join(request(rng) for _ in range(rng.choice([1, 1, 1, 2]))) + b"GET /canary HTTP/1.1\r\nHost: canary\r\n\r\n"


def response(rng):
    odd = oddness(rng)
    version = either(rng, [b"HTTP/1.1"] * 9 + [b"HTTP/1.0"], ODD_VERSIONS, odd)
    fields = [f for f in (either(rng, FIELDS, ODD_FIELDS, odd) for _ in range(rng.choice([0, 1, 1, 2, 4]))) if not f.startswith((b"Upgrade", b"Expect"))]
    out = message(rng, version + b" " + either(rng, STATUSES, ODD_STATUSES, odd), fields, odd)
    if rng.random() < 0.15:
        out = rng.choice([b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", b"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n"]) + out
    return mutate(rng, out) if rng.random() < 0.35 else out
