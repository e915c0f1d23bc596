"""A key-value service: one actor over a log, and HTTP in front of it. `python -m examples.kv_service` starts it.

```console
$ curl -d 'Write "x" 1' 127.0.0.1:8080
Ok
$ curl -d 'Read "x"' 127.0.0.1:8080
Result 1
```

From the ground: `decimals` and `messages`, `wire` (text to messages and back), `store` (the actor), `body`, `farewell`,
`front` (HTTP), `place` (a port and a directory of one's own), `__main__`. `load` talks to it through `client`.
"""
