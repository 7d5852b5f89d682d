const FILE_PATHS = /(?<![\w.])(?:file:\/\/)?(?:\/[^\s/'"`:,)]+){2,}/g

/** The text of an error of the system or the runtime without the files that it names: callers are told none. */
export const withoutFilePaths = (text: string): string => text.replace(FILE_PATHS, '…')
