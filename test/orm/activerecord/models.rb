class Patient < ActiveRecord::Base
  has_many :appointments
end

class Appointment < ActiveRecord::Base
  # That the patient exists is left to the foreign key.
  belongs_to :patient, optional: true
end
