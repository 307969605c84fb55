-- → how many sessions were given up
return sweep()
