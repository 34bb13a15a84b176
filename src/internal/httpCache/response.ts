/**
 * Responses as the client gets them: those from the store, and those from the origin whose bodies are stored on their
 * way.
 *
 * @internal
 */
import * as Cookies from "@effect/platform/Cookies"
import * as Headers from "@effect/platform/Headers"
import { ResponseError } from "@effect/platform/HttpClientError"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as HttpIncomingMessage from "@effect/platform/HttpIncomingMessage"
import * as UrlParams from "@effect/platform/UrlParams"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Inspectable from "effect/Inspectable"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"

/**
 * Where a body comes from.
 *
 * @internal
 */
export interface Source {
  readonly stream: Stream.Stream<Uint8Array, unknown>
  /** If it is at hand. */
  readonly whole: Uint8Array | undefined
}

/** @internal */
export const emptyBody: Source = { stream: Stream.empty, whole: new Uint8Array(0) }

const decoder = new TextDecoder()

/** @internal */
export class Response extends Inspectable.Class implements HttpClientResponse.HttpClientResponse {
  readonly [HttpIncomingMessage.TypeId]: typeof HttpIncomingMessage.TypeId = HttpIncomingMessage.TypeId
  readonly [HttpClientResponse.TypeId]: typeof HttpClientResponse.TypeId = HttpClientResponse.TypeId
  readonly headers: Headers.Headers
  private bytesOnce: Effect.Effect<Uint8Array, ResponseError> | undefined

  constructor(
    readonly request: HttpClientRequest.HttpClientRequest,
    readonly status: number,
    headers: Readonly<Record<string, string>>,
    private readonly setCookie: Cookies.Cookies | ReadonlyArray<string>,
    private readonly source: Source,
    readonly remoteAddress: Option.Option<string> = Option.none()
  ) {
    super()
    this.headers = Headers.fromInput(headers)
  }

  get cookies(): Cookies.Cookies {
    return Cookies.isCookies(this.setCookie) ? this.setCookie : Cookies.fromSetCookie(this.setCookie)
  }

  get stream(): Stream.Stream<Uint8Array, ResponseError> {
    return Stream.mapError(this.source.stream, (cause) => this.failed(cause))
  }

  get arrayBuffer(): Effect.Effect<ArrayBuffer, ResponseError> {
    return Effect.map(this.bytes, (bytes) => new Uint8Array(bytes).buffer)
  }

  get text(): Effect.Effect<string, ResponseError> {
    return Effect.map(this.bytes, (bytes) => decoder.decode(bytes))
  }

  get json(): Effect.Effect<unknown, ResponseError> {
    return Effect.flatMap(this.text, (text) =>
      Effect.try({
        catch: (cause) => this.failed(cause),
        try: (): unknown => text === "" ? null : JSON.parse(text)
      }))
  }

  get urlParamsBody(): Effect.Effect<UrlParams.UrlParams, ResponseError> {
    return Effect.map(this.text, (text) => UrlParams.fromInput(new URLSearchParams(text)))
  }

  get formData(): Effect.Effect<FormData, ResponseError> {
    return Effect.flatMap(this.arrayBuffer, (buffer) =>
      Effect.tryPromise({
        catch: (cause) => this.failed(cause),
        try: () =>
          new globalThis.Response(buffer, { headers: { "content-type": this.headers["content-type"] ?? "" } })
            .formData()
      }))
  }

  toJSON(): unknown {
    return HttpIncomingMessage.inspect(this, {
      _id: "@effect/platform/HttpClientResponse",
      request: this.request.toJSON(),
      status: this.status
    })
  }

  private get bytes(): Effect.Effect<Uint8Array, ResponseError> {
    const { whole } = this.source
    if (whole !== undefined) return Effect.succeed(whole)
    this.bytesOnce ??= Effect.runSync(Effect.cached(
      Effect.map(Stream.runCollect(this.stream), (pieces) => Buffer.concat(Chunk.toArray(pieces)))
    ))
    return this.bytesOnce
  }

  private failed(cause: unknown): ResponseError {
    return cause instanceof ResponseError
      ? cause
      : new ResponseError({ cause, reason: "Decode", request: this.request, response: this })
  }
}

/**
 * The body of a response. For one without bytes some transports fail.
 *
 * @internal
 */
export const bodyOf = (
  response: HttpClientResponse.HttpClientResponse
): Stream.Stream<Uint8Array, ResponseError> =>
  Stream.catchAll(response.stream, (error) => error.reason === "EmptyBody" ? Stream.empty : Stream.fail(error))

/**
 * A response with other headers, and the same body.
 *
 * @internal
 */
export const withHeaders = (
  response: HttpClientResponse.HttpClientResponse,
  headers: Readonly<Record<string, string>>
): HttpClientResponse.HttpClientResponse => {
  const given = Headers.fromInput(headers)
  return new Proxy(response, {
    get: (target, name) => {
      if (name === "headers") return given
      const value: unknown = Reflect.get(target, name, target)
      return value
    }
  })
}

/**
 * Whether the transport has undone the encoding that the headers still tell of: what `fetch` has received is decoded,
 * and what somebody has put together is not.
 *
 * @internal
 */
export const isDecoded = (response: HttpClientResponse.HttpClientResponse): boolean => {
  const own = "original" in response && response.original !== null && typeof response.original === "object"
    ? response.original
    : response
  return "source" in own && own.source instanceof globalThis.Response && own.source.url !== "" &&
    /^(?:(?:x-)?gzip|deflate|br|zstd)(?:\s*,|$)/i.test(response.headers["content-encoding"]?.trim() ?? "")
}
