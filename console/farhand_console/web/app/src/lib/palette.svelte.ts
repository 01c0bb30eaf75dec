// Whether the search over everything is open.

export const palette = $state({ open: false });
