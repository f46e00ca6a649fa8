# hello EVENT: the event is JSON, and so is what is printed. stderr is the function's log.
hello() {
  echo "an event of ${#1} bytes" >&2
  echo '{"statusCode": 200, "headers": {"content-type": "text/plain"}, "body": "Hello from a shell\n"}'
}
