/** Paths of the package's files, imported `with { type: 'file' }`, also in an executable. */
declare module 'swagger-ui-dist/*' {
  const path: string

  // biome-ignore lint/style/noDefaultExport: it is how such a path is imported.
  export { path as default }
}
