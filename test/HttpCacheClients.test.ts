/** The HTTP cache before real clients and a real server: what transports do to responses. */
import { FetchHttpClient, HttpClient, HttpClientRequest, type HttpClientResponse } from "@effect/platform"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Chunk, Context, Effect, Either, Layer, Option, type Scope, Stream } from "effect"
import { HttpCache, Storage } from "effect-kv"
import * as http from "node:http"
import type { AddressInfo } from "node:net"
import * as path from "node:path"
import * as zlib from "node:zlib"
import { child, tempFolder } from "./support.js"

const clients: ReadonlyArray<{
  readonly name: "undici" | "node" | "fetch"
  readonly layer: Layer.Layer<HttpClient.HttpClient>
}> = [
  { layer: NodeHttpClient.layerUndici, name: "undici" },
  { layer: NodeHttpClient.layer, name: "node" },
  { layer: FetchHttpClient.layer, name: "fetch" }
]

interface Asked {
  readonly headers: http.IncomingHttpHeaders
  readonly method: string
  readonly path: string
}

/** A server of this process, for as long as the scope lives; it tells what it was asked. */
const serving = (handle: (request: http.IncomingMessage, response: http.ServerResponse, call: number) => void) =>
  Effect.acquireRelease(
    Effect.async<{ readonly close: Effect.Effect<void>; readonly seen: Array<Asked>; readonly url: string }>(
      (resume) => {
        const seen: Array<Asked> = []
        const server = http.createServer((request, response) => {
          const { headers, method = "", url = "" } = request
          handle(request, response, seen.push({ headers, method, path: url }))
        })
        const close = Effect.async<void>((done) => {
          server.close(() => done(Effect.void))
          server.closeAllConnections()
        })
        server.listen(0, "127.0.0.1", () => {
          // It listens on a port, so that its address is no text.
          const { port } = server.address() as AddressInfo
          resume(Effect.succeed({ close, seen, url: `http://127.0.0.1:${port}` }))
        })
      }
    ),
    ({ close }) => close
  )

const bytesOf = (response: HttpClientResponse.HttpClientResponse) =>
  Stream.runCollect(response.stream).pipe(
    // So some clients say that there is none.
    Effect.catchIf(({ reason }) => reason === "EmptyBody", () => Effect.succeed(Chunk.empty<Uint8Array>())),
    Effect.map((pieces) => Buffer.concat(Chunk.toArray(pieces)))
  )

const outcomeOf = (response: HttpClientResponse.HttpClientResponse) =>
  Option.getOrUndefined(Option.map(HttpCache.info(response), ({ outcome }) => outcome))

/** Bytes of all values, that do not compress. */
const binary = (length: number) => {
  const bytes = Buffer.alloc(length)
  let state = 7
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    bytes[i] = state >>> 24
  }
  return bytes
}

const isFresh = { "Cache-Control": "max-age=100" }

describe("HttpCache before node, with one connection", () => {
  const oneConnection = Layer.provide(
    NodeHttpClient.layerWithoutAgent,
    NodeHttpClient.makeAgentLayer({ keepAlive: true, maxSockets: 1 })
  )

  it.scopedLive("a 304, and a 503 that something stale stands in for, leave it free", () =>
    Effect.gen(function*() {
      let isUp = true
      const { seen, url } = yield* serving(({ headers }, response) => {
        const fields = { "Cache-Control": "max-age=0, stale-if-error=100", ETag: "\"1\"" }
        if (!isUp) return response.writeHead(503).end("down")
        if (headers["if-none-match"] !== undefined) return response.writeHead(304, fields).end()
        return response.writeHead(200, fields).end("body")
      })
      const storage = Layer.fresh(Storage.layerMemory)
      for (const isStrict of [false, true]) {
        const transport = isStrict
          ? Layer.map(oneConnection, (context) =>
            Context.add(
              context,
              HttpClient.HttpClient,
              HttpClient.filterStatusOk(Context.get(context, HttpClient.HttpClient))
            ))
          : oneConnection
        const context = yield* Layer.build(Layer.provide(HttpCache.layer(), [transport, storage]))
        const client = Context.get(context, HttpClient.HttpClient)
        const text = Effect.flatMap(client.get(url), (response) =>
          Effect.map(response.text, (body) => [outcomeOf(response), body]))
        isUp = true
        deepStrictEqual(yield* text, ["miss", "body"])
        for (let i = 0; i < 5; i++) {
          deepStrictEqual(yield* text, ["revalidated", "body"])
        }
        isUp = false
        for (let i = 0; i < 5; i++) {
          deepStrictEqual(yield* text, ["stale", "body"])
        }
      }
      assert.strictEqual(seen.length, 22)
    }))
})

for (const { layer, name } of clients) {
  describe(`HttpCache before ${name}`, () => {
    const test = <A, E>(
      title: string,
      body: (cached: {
        readonly cache: HttpCache.HttpCache["Type"]
        readonly client: HttpClient.HttpClient
        readonly get: (
          url: string,
          headers?: Readonly<Record<string, string>>
        ) => Effect.Effect<
          {
            readonly body: Buffer
            readonly outcome: HttpCache.CacheInfo["outcome"] | undefined
            readonly response: HttpClientResponse.HttpClientResponse
          },
          unknown
        >
      }) => Effect.Effect<A, E, Storage.Storage | Scope.Scope>,
      options: HttpCache.Options = {}
    ) =>
      it.scopedLive(title, () =>
        Effect.gen(function*() {
          const context = yield* Layer.build(
            Layer.provideMerge(HttpCache.layer(options), Layer.merge(layer, Layer.fresh(Storage.layerMemory)))
          )
          const cache = Context.get(context, HttpCache.HttpCache)
          const client = Context.get(context, HttpClient.HttpClient)
          const get = (url: string, headers: Readonly<Record<string, string>> = {}) =>
            Effect.gen(function*() {
              const response = yield* client.execute(HttpClientRequest.get(url, { headers }))
              return { body: yield* bytesOf(response), outcome: outcomeOf(response), response }
            })
          return yield* Effect.provide(body({ cache, client, get }), context)
        }))

    test("a hit, byte for byte", ({ get }) =>
      Effect.gen(function*() {
        for (const length of [1, 1000, 300_000, 3_000_000]) {
          const bytes = binary(length)
          const { seen, url } = yield* serving((_, response) =>
            response.writeHead(200, { ...isFresh, "Content-Length": length, "X-Own": "1" }).end(bytes)
          )
          const [first, second] = [yield* get(url), yield* get(url)]
          deepStrictEqual([first.outcome, second.outcome], ["miss", "hit"])
          for (const { body, response } of [first, second]) {
            assert.strictEqual(Buffer.compare(body, bytes), 0)
            deepStrictEqual([response.headers["content-length"], response.headers["x-own"]], [String(length), "1"])
          }
          assert.strictEqual(seen.length, 1)
        }
      }))

    test("bodies in pieces, without a length", ({ get }) =>
      Effect.gen(function*() {
        const { url } = yield* serving((_, response) => {
          response.writeHead(200, isFresh)
          response.write("one ")
          setImmediate(() => {
            response.write("two ")
            setImmediate(() => response.end("three"))
          })
        })
        const [first, second] = [yield* get(url), yield* get(url)]
        deepStrictEqual([String(first.body), String(second.body), second.outcome], [
          "one two three",
          "one two three",
          "hit"
        ])
        assert.isUndefined(second.response.headers["transfer-encoding"])
      }))

    test("empty bodies, and statuses that have none", ({ get }) =>
      Effect.gen(function*() {
        const { seen, url } = yield* serving(({ url }, response) =>
          response.writeHead(Number(url?.slice(1)), {
            ...isFresh,
            ...(url === "/200" ? { "Content-Length": "0" } : {})
          }).end()
        )
        for (const status of [200, 204, 404]) {
          for (const outcome of ["miss", "hit"]) {
            const { body, outcome: was, response } = yield* get(`${url}/${status}`)
            deepStrictEqual([response.status, body.byteLength, was], [status, 0, outcome])
          }
        }
        assert.strictEqual(seen.length, 3)
      }))

    test("a 304, also one that tells of a length", ({ get }) =>
      Effect.gen(function*() {
        const { seen, url } = yield* serving(({ headers }, response) => {
          const etag = { ETag: "\"1\"" }
          if (headers["if-none-match"] === undefined) {
            return response.writeHead(200, { ...etag, "Cache-Control": "no-cache", "Content-Length": 4 }).end("body")
          }
          return response.writeHead(304, { ...etag, "Content-Length": 4, "X-New": "1" }).end()
        })
        yield* get(url)
        for (let i = 0; i < 3; i++) {
          const { body, outcome, response } = yield* get(url)
          deepStrictEqual([outcome, response.status, String(body), response.headers["x-new"]], [
            "revalidated",
            200,
            "body",
            "1"
          ])
        }
        assert.strictEqual(seen.length, 4)
        const { response } = yield* get(url, { "if-none-match": "\"1\"" })
        assert.strictEqual(response.status, 304)
      }))

    for (const [encoding, encode] of [["gzip", zlib.gzipSync], ["br", zlib.brotliCompressSync]] as const) {
      test(`${encoding}: what was decoded does not say that it is encoded`, ({ get }) =>
        Effect.gen(function*() {
          const text = "text ".repeat(100_000)
          const encoded = encode(text)
          const { url } = yield* serving((_, response) =>
            response.writeHead(200, { ...isFresh, "Content-Encoding": encoding, "Content-Length": encoded.byteLength })
              .end(encoded)
          )
          const [first, second] = [yield* get(url), yield* get(url)]
          assert.strictEqual(second.outcome, "hit")
          const expected = name === "fetch" ? Buffer.from(text) : encoded
          assert.strictEqual(Buffer.compare(first.body, expected), 0)
          assert.strictEqual(Buffer.compare(second.body, expected), 0)
          const { headers } = second.response
          deepStrictEqual(
            [headers["content-encoding"], headers["content-length"]],
            name === "fetch" ? [undefined, undefined] : [encoding, String(encoded.byteLength)]
          )
        }))
    }

    test("a HEAD of something encoded leaves what is stored alone", ({ client, get }) =>
      Effect.gen(function*() {
        const text = "text ".repeat(1000)
        const encoded = zlib.gzipSync(text)
        const { url } = yield* serving(({ method }, response) =>
          response.writeHead(200, {
            ...isFresh,
            "Content-Encoding": "gzip",
            "Content-Length": encoded.byteLength,
            ETag: "\"1\""
          })
            .end(method === "HEAD" ? undefined : encoded)
        )
        const { body } = yield* get(url)
        yield* client.execute(HttpClientRequest.head(url, { headers: { "cache-control": "no-cache" } }))
        const again = yield* get(url)
        assert.strictEqual(again.outcome, "hit")
        assert.strictEqual(Buffer.compare(again.body, body), 0)
      }))

    test("all cookies", ({ get }) =>
      Effect.gen(function*() {
        const { url } = yield* serving((_, response) =>
          response.writeHead(200, {
            ...isFresh,
            "Set-Cookie": ["a=1; Path=/; Expires=Wed, 21 Oct 2099 07:28:00 GMT", "b=2; HttpOnly; Secure", "c=3"]
          }).end("x")
        )
        for (const outcome of ["miss", "hit"] as const) {
          const { outcome: was, response } = yield* get(url)
          assert.strictEqual(was, outcome)
          const { cookies } = response.cookies
          deepStrictEqual(Object.values(cookies).map(({ name, value }) => `${name}=${value}`).sort(), [
            "a=1",
            "b=2",
            "c=3"
          ])
          deepStrictEqual(
            [cookies["a"]?.options?.path, cookies["b"]?.options?.httpOnly, cookies["b"]?.options?.secure],
            ["/", true, true]
          )
        }
      }))

    test("the server drops the connection: the error is the caller's, and nothing is stored", ({ cache, get }) =>
      Effect.gen(function*() {
        const { seen, url } = yield* serving(({ url }, response) => {
          response.writeHead(200, { ...isFresh, ...(url === "/length" ? { "Content-Length": 1_000_000 } : {}) })
          response.write(binary(400_000), () => setImmediate(() => response.destroy()))
        })
        for (const path of ["/length", "/chunked"]) {
          for (let i = 0; i < 2; i++) {
            const result = yield* Effect.either(get(url + path))
            assert.isTrue(Either.isLeft(result), path)
          }
        }
        assert.strictEqual(seen.length, 4)
        assert.strictEqual(yield* cache.size, 0)
        assert.strictEqual(yield* cache.bytes, 0)
      }))

    test("a body that is shorter than it says is not stored", ({ cache, get }) =>
      Effect.gen(function*() {
        const { url } = yield* serving((_, response) => {
          response.strictContentLength = false
          response.writeHead(200, { ...isFresh, "Content-Length": 10, Connection: "close" })
          response.write("short")
          response.socket?.end()
        })
        yield* Effect.exit(get(url))
        assert.strictEqual(yield* cache.size, 0)
      }))

    test("a download that is aborted is not stored, and the next one is", ({ cache, client, get }) =>
      Effect.gen(function*() {
        const bytes = binary(5_000_000)
        const { seen, url } = yield* serving((_, response) => response.writeHead(200, isFresh).end(bytes))
        const response = yield* client.execute(HttpClientRequest.get(url))
        yield* Stream.runDrain(Stream.take(response.stream, 1))
        assert.strictEqual(yield* cache.size, 0)
        assert.strictEqual(Buffer.compare((yield* get(url)).body, bytes), 0)
        assert.strictEqual((yield* get(url)).outcome, "hit")
        assert.strictEqual(seen.length, 2)
      }))

    test("connection refused: what is stale stands in", ({ get }) =>
      Effect.gen(function*() {
        const { close, url } = yield* serving((_, response) =>
          response.writeHead(200, { "Cache-Control": "max-age=0", ETag: "\"1\"" }).end("body")
        )
        yield* get(url)
        yield* close
        const { body, outcome } = yield* get(url)
        deepStrictEqual([String(body), outcome], ["body", "stale"])
        assert.isTrue(Either.isLeft(yield* Effect.either(get(`${url}/other`))))
      }))

    test("the connection is dropped before there is an answer: what is stale stands in", ({ get }) =>
      Effect.gen(function*() {
        const { url } = yield* serving((request, response, call) =>
          call === 1
            ? response.writeHead(200, { "Cache-Control": "max-age=0", ETag: "\"1\"" }).end("body")
            : request.socket.destroy()
        )
        yield* get(url)
        const { body, outcome } = yield* get(url)
        deepStrictEqual([String(body), outcome], ["body", "stale"])
      }))

    test("HEAD from a GET, and by itself", ({ client, get }) =>
      Effect.gen(function*() {
        const { seen, url } = yield* serving(({ method }, response) =>
          response.writeHead(200, { ...isFresh, "Content-Length": 4 }).end(method === "HEAD" ? undefined : "body")
        )
        yield* get(`${url}/a`)
        for (const [path, outcomes] of [["/a", ["hit", "hit"]], ["/b", ["miss", "hit"]]] as const) {
          for (const outcome of outcomes) {
            const response = yield* client.execute(HttpClientRequest.head(url + path))
            deepStrictEqual([outcomeOf(response), response.status, response.headers["content-length"]], [
              outcome,
              200,
              "4"
            ])
          }
        }
        assert.strictEqual(seen.length, 2)
      }))

    test("ranges, out of a 200 and of the server", ({ get }) =>
      Effect.gen(function*() {
        const bytes = binary(700_000)
        const { seen, url } = yield* serving(({ headers, url }, response) => {
          const [, first, last] = /bytes=(\d+)-(\d+)/.exec(url === "/parts" ? headers.range ?? "" : "") ?? []
          if (first === undefined || last === undefined) return response.writeHead(200, isFresh).end(bytes)
          return response.writeHead(206, {
            ...isFresh,
            "Content-Range": `bytes ${first}-${last}/700000`,
            ETag: "\"1\""
          })
            .end(bytes.subarray(Number(first), Number(last) + 1))
        })
        yield* get(`${url}/whole`)
        for (const path of ["/whole", "/parts", "/parts"]) {
          const { body, response } = yield* get(url + path, { range: "bytes=262100-300000" })
          assert.strictEqual(response.status, 206)
          assert.strictEqual(Buffer.compare(body, bytes.subarray(262_100, 300_001)), 0)
        }
        assert.strictEqual(seen.length, 2)
      }))

    test("redirects: each by its own headers", ({ client, get }) =>
      Effect.gen(function*() {
        const { seen, url } = yield* serving(({ url }, response) =>
          url === "/from"
            ? response.writeHead(301, { ...isFresh, Location: "/to" }).end()
            : response.writeHead(200, { "Cache-Control": "no-store" }).end("there")
        )
        if (name === "fetch") {
          // It follows them itself, below the cache.
          assert.strictEqual(String((yield* get(`${url}/from`)).body), "there")
          return
        }
        const following = HttpClient.followRedirects(client)
        for (let i = 0; i < 2; i++) {
          const response = yield* following.execute(HttpClientRequest.get(`${url}/from`))
          deepStrictEqual([response.status, yield* response.text], [200, "there"])
        }
        deepStrictEqual(seen.map(({ path }) => path), ["/from", "/to", "/to"])
      }))

    test("many at the same time for something cold: one request", ({ get }) =>
      Effect.gen(function*() {
        const bytes = binary(100_000)
        const { seen, url } = yield* serving((_, response) =>
          setImmediate(() => response.writeHead(200, isFresh).end(bytes))
        )
        const all = yield* Effect.replicateEffect(get(url), 200, { concurrency: "unbounded" })
        assert.isTrue(all.every(({ body }) => Buffer.compare(body, bytes) === 0))
        assert.strictEqual(seen.length, 1)
      }))

    test("text, JSON and bytes of a hit", ({ client }) =>
      Effect.gen(function*() {
        const { url } = yield* serving((_, response) =>
          response.writeHead(200, { ...isFresh, "Content-Type": "application/json" }).end("{\"ä\":[1]}")
        )
        const response = client.execute(HttpClientRequest.get(url))
        for (let i = 0; i < 2; i++) {
          deepStrictEqual(yield* Effect.flatMap(response, ({ json }) => json), { ä: [1] })
          assert.strictEqual(yield* Effect.flatMap(response, ({ text }) => text), "{\"ä\":[1]}")
          deepStrictEqual(
            Buffer.from(yield* Effect.flatMap(response, ({ arrayBuffer }) => arrayBuffer)).toString(),
            "{\"ä\":[1]}"
          )
        }
      }))
  })
}

describe("HttpCache in processes of its own", () => {
  // More than fits: 1 GB is tried with 1024.
  const megabytes = Number(process.env["EFFECT_KV_HTTP_MEGABYTES"] ?? 400)

  it.scopedLive(`a body of ${megabytes} MB goes through a heap of 64 MB, in and out`, () =>
    Effect.gen(function*() {
      const folder = yield* tempFolder
      const piece = binary(1024 * 1024)
      const { seen, url } = yield* serving((_, response) => {
        response.writeHead(200, isFresh)
        let sent = 0
        const send = (): void => {
          while (sent < megabytes) {
            sent++
            if (!response.write(piece)) return void response.once("drain", send)
          }
          response.end()
        }
        send()
      })
      const { line, send } = yield* child("httpCache.ts", [path.join(folder, "cache.db")], {
        through: ["/usr/bin/env", "NODE_OPTIONS=--max-old-space-size=64"]
      })
      assert.strictEqual(yield* line, "open")
      const answers: Array<
        { readonly bytes: number; readonly hash: string; readonly outcome: string; readonly peak: number }
      > = []
      for (let i = 0; i < 2; i++) {
        yield* send(`${url}/large`)
        answers.push(JSON.parse(yield* line))
      }
      deepStrictEqual(answers.map(({ bytes, outcome }) => [bytes, outcome]), [
        [megabytes * 1024 * 1024, "miss"],
        [megabytes * 1024 * 1024, "hit"]
      ])
      assert.strictEqual(answers[0]?.hash, answers[1]?.hash)
      // In KB: neither held the body.
      for (const { peak } of answers) assert.isBelow(peak, 350_000)
      assert.strictEqual(seen.length, 1)
    }), 600_000)

  it.scopedLive("two processes on one file", () =>
    Effect.gen(function*() {
      const folder = yield* tempFolder
      const { seen, url } = yield* serving(({ url }, response) =>
        response.writeHead(200, isFresh).end(`${url} `.repeat(50_000))
      )
      const children = yield* Effect.all([1, 2].map(() => child("httpCache.ts", [path.join(folder, "cache.db")])))
      for (const { line } of children) assert.strictEqual(yield* line, "open")
      const paths = Array.from({ length: 20 }, (_, i) => `${url}/${i}`)
      // Both at the same time, in opposite order; then each finds all that is there.
      const all = yield* Effect.forEach(children, ({ line, send }, i) =>
        Effect.forEach(i === 0 ? paths : paths.toReversed(), (path) =>
          Effect.zipRight(send(path), Effect.map(line, (answer) => ({ ...JSON.parse(answer), path })))), {
        concurrency: "unbounded"
      })
      const hashes = new Map<string, string>()
      for (const { hash, path } of all.flat()) {
        assert.strictEqual(hashes.get(path) ?? hash, hash)
        hashes.set(path, hash)
      }
      const before = seen.length
      assert.isAtLeast(before, 20)
      for (const { line, send } of children) {
        for (const path of paths) {
          yield* send(path)
          deepStrictEqual({ ...JSON.parse(yield* line), peak: 0 }, {
            bytes: 50_000 * (path.length - url.length + 1),
            hash: hashes.get(path),
            outcome: "hit",
            peak: 0
          })
        }
      }
      assert.strictEqual(seen.length, before)
    }), 60_000)
})
