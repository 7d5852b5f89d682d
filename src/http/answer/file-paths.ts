const FILE_PATHS = /(?<![\w.])(?:file:\/\/)?(?:\/[^\s/'"`:,)]+){2,}/g

/** Removes file paths from an error text: callers must not learn them. */
export const withoutFilePaths = (text: string): string => text.replace(FILE_PATHS, '…')
