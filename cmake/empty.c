/* Stands in for a layer that has no source yet, so that the library target exists. */
typedef int tg_empty_layer;
