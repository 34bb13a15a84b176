/**
 * Codecs: how typed values become the text or bytes that a store keeps.
 *
 * @since 0.1.0
 */
export * as Codec from "./Codec.js"

/**
 * A cache for `HttpClient`, after RFC 9111.
 *
 * @since 0.1.0
 */
export * as HttpCache from "./HttpCache.js"

/**
 * Where an HTTP cache keeps responses.
 *
 * @since 0.1.0
 */
export * as HttpCacheStore from "./HttpCacheStore.js"

/**
 * Typed values by key.
 *
 * @since 0.1.0
 */
export * as KeyValueStore from "./KeyValueStore.js"

/**
 * The client API of Kyoto Tycoon.
 *
 * @since 0.1.0
 */
export * as KtCompat from "./KtCompat.js"

/**
 * What can go wrong with a Kyoto Tycoon database.
 *
 * @since 0.1.0
 */
export * as KtError from "./KtError.js"

/**
 * What a Kyoto Tycoon server knows to do, in this process.
 *
 * @since 0.1.0
 */
export * as KtTransport from "./KtTransport.js"

/**
 * Memoised functions.
 *
 * @since 0.1.0
 */
export * as Memoize from "./Memoize.js"

/**
 * An embedded SQLite database as a layer.
 *
 * @since 0.1.0
 */
export * as Sqlite from "./Sqlite.js"

/**
 * The waist: ordered, expiring, transactional entries, on any engine.
 *
 * @since 0.1.0
 */
export * as Storage from "./Storage.js"

/**
 * What can go wrong.
 *
 * @since 0.1.0
 */
export * as StorageError from "./StorageError.js"

/**
 * Typed values by key, with a time to live.
 *
 * @since 0.1.0
 */
export * as TtlStore from "./TtlStore.js"
