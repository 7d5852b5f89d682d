import { dlopen, type FFIFunction, type Library } from 'bun:ffi'

const LIBRARIES = ['libc.so.6', 'libc.musl-x86_64.so.1', 'libc.musl-aarch64.so.1']

/** Loads functions of the C library; undefined on other systems than Linux. */
export function openLibc<F extends Record<string, FFIFunction>>(
  functions: F,
): Library<F>['symbols'] | undefined {
  if (process.platform !== 'linux') return undefined
  for (const name of LIBRARIES) {
    try {
      return dlopen(name, functions).symbols
    } catch {
      // Try the next name.
    }
  }
  return undefined
}
