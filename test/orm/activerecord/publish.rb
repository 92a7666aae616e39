# The clinic's migrations and, after them, one that attaches its tables.
#
# publish.rb up | down | redo | create EMAIL

require_relative 'database'
require_relative 'models'

Database.connect('publish')
all = Database.migrations('migrate', 'publish')
case ARGV
in ['up'] then all.migrate
in ['down'] then all.rollback(1)
in ['redo']
  all.rollback(1)
  all.migrate
in ['create', email] then Patient.create!(name: 'Any', email: email)
else abort 'usage: publish.rb up | down | redo | create EMAIL'
end
