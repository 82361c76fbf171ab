declare module 'fs-native-extensions' {
  /** False when another open file holds the lock. The lock lasts until the file is closed. */
  export function tryLock(fd: number): boolean;
}
