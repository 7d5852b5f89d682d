declare module '*.lua' {
  const text: string
  // biome-ignore lint/style/noDefaultExport: what an import of a text is.
  export default text
}
