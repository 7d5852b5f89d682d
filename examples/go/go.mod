module example.org/backend

go 1.21
