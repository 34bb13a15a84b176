/**
 * How bodies are cut into the chunks in which they are stored. A chunk ends with its checksum: a body that is damaged
 * where it is stored is not served.
 *
 * @internal
 */
import { crc32 } from "node:zlib"

/** How many bytes of a body one chunk has; the last has the rest. */
export const chunkBytes = 256 * 1024
const sumBytes = 4

const sealed = (parts: ReadonlyArray<Uint8Array>, length: number): Uint8Array => {
  const chunk = Buffer.allocUnsafeSlow(length + sumBytes)
  let at = 0
  for (const part of parts) {
    chunk.set(part, at)
    at += part.byteLength
  }
  chunk.writeUInt32LE(crc32(chunk.subarray(0, length)), length)
  return chunk
}

/**
 * Whether a stored chunk is what was written, with so many bytes of a body.
 *
 * @internal
 */
export const isIntact = (chunk: Uint8Array, length: number): boolean => {
  if (chunk.byteLength !== length + sumBytes) return false
  const sum = new DataView(chunk.buffer, chunk.byteOffset + length, sumBytes).getUint32(0, true)
  return crc32(chunk.subarray(0, length)) === sum
}

/**
 * What the rows of a body's chunks come to, keys and values.
 *
 * @internal
 */
export const rowBytes = (bytes: number, keyBytes: number): number =>
  bytes + Math.ceil(bytes / chunkBytes) * (sumBytes + keyBytes)

/**
 * Takes pieces of any length and gives chunks.
 *
 * @internal
 */
export class Pieces {
  /** How many there were. */
  bytes = 0
  /** How many chunks were given. */
  chunks = 0
  private parts: Array<Uint8Array> = []
  private filled = 0

  /** The chunks that it makes full. */
  add(piece: Uint8Array): ReadonlyArray<Uint8Array> {
    const full: Array<Uint8Array> = []
    this.bytes += piece.byteLength
    let at = 0
    while (at < piece.byteLength) {
      const part = piece.subarray(at, at + chunkBytes - this.filled)
      this.parts.push(part)
      this.filled += part.byteLength
      at += part.byteLength
      if (this.filled === chunkBytes) full.push(this.give())
    }
    return full
  }

  /** The last one, if there is something left. */
  end(): Uint8Array | undefined {
    return this.filled === 0 ? undefined : this.give()
  }

  private give(): Uint8Array {
    const chunk = sealed(this.parts, this.filled)
    this.chunks++
    this.parts = []
    this.filled = 0
    return chunk
  }
}
