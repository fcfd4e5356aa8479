"""One module per page; each has a function ``show`` that draws it. Streamlit takes a folder ``pages`` for its own."""
