"""A key-value service, a supervised tree of actors: log, store, HTTP. `python -m examples.kv_service` starts it.

```console
$ curl -d 'Write "x" 1' 127.0.0.1:8080
Ok
$ curl -d 'Read "x"' 127.0.0.1:8080
Result 1
```

From the ground: `decimals` and `messages`, `wire` (text to messages and back), `log` and `store` (two actors), `data`
(their supervisor), `body`, `farewell`, `front` (HTTP), `pages` (the store's), `place` (a port and a directory of one's
own), `service` (the tree), `__main__`. `load` talks to it through `client`.
"""
