/**
 * The hashes that the original's procedures offer: the low 48 bits, as it prints them.
 *
 * @internal
 */

const bits64 = 2n ** 64n - 1n
const bits48 = 2n ** 48n - 1n

/**
 * FNV-1a with the prime of the original, which is not that of its inventors.
 *
 * @internal
 */
export const fnv = (bytes: Uint8Array): bigint => {
  let hash = 14695981039346656037n
  for (const byte of bytes) hash = ((hash ^ BigInt(byte)) * 109951162811n) & bits64
  return hash & bits48
}

const m = 0xc6a4a7935bd1e995n
const r = 47n

/**
 * MurmurHash64A.
 *
 * @internal
 */
export const murmur = (bytes: Uint8Array): bigint => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const whole = bytes.length - bytes.length % 8
  let hash = 19780211n ^ ((BigInt(bytes.length) * m) & bits64)
  for (let at = 0; at < whole; at += 8) {
    let k = (view.getBigUint64(at, true) * m) & bits64
    k ^= k >> r
    k = (k * m) & bits64
    hash = ((hash ^ k) * m) & bits64
  }
  if (whole < bytes.length) {
    for (let at = bytes.length - 1; at >= whole; at--) hash ^= BigInt(bytes[at] ?? 0) << BigInt(8 * (at - whole))
    hash = (hash * m) & bits64
  }
  hash ^= hash >> r
  hash = (hash * m) & bits64
  hash ^= hash >> r
  return hash & bits48
}
